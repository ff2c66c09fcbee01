# bash completion of vipcast(8); what the cluster has is asked of this host's daemon
_vipcast()
{
    local cur prev words cword candidate
    _init_completion -n =: || return
    COMPREPLY=()
    while IFS= read -r candidate; do
        if [[ $candidate == :files ]]; then
            _filedir
        else
            COMPREPLY+=("$candidate")
        fi
    done < <(vipcast __complete "${words[@]:1:cword}" 2>/dev/null)
    __ltrim_colon_completions "$cur"
} &&
complete -F _vipcast vipcast
