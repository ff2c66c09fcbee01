# fish completion of vipcast(8); what the cluster has is asked of this host's daemon
function __vipcast_complete
    set -l words (commandline -opc) (commandline -ct)
    for candidate in (vipcast __complete $words[2..] 2>/dev/null)
        if test "$candidate" = :files
            __fish_complete_path (commandline -ct)
        else
            echo $candidate
        end
    end
end
complete -c vipcast -f -a '(__vipcast_complete)'
