// SPDX-License-Identifier: Apache-2.0
/* Which packets for a shared address this host accepts: the slot of each, and what the slot's state allows.
 *
 * Attached to tc ingress.  A packet that is not for one of our addresses goes on untouched, after one look-up.  One
 * that is accepted becomes PACKET_HOST (it came in a frame to a group MAC, which TCP ignores) and goes on to whatever
 * filters come next; any other is dropped and counted.  What is hashed is written in datapath/hashing.py, what the
 * states mean in datapath/raw/judge.py; tests hold the three against each other.
 *
 * The tables have two halves, and the lowest bit of `generation` names the one in force.  The other one is written
 * meanwhile, so a change of any size is one store; a packet that sees the generation change is judged again.
 */
#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the slot of a client is defined by jhash on a little-endian host (datapath/hashing.py)"
#endif

char LICENSE[] SEC("license") = "Apache-2.0";

#define GO_ON TC_ACT_UNSPEC	/* to the next filter, as if we were not there */
#define ACCEPT TC_ACT_PIPE	/* the same to the kernel, but it can be told apart by whoever runs the program */
#define DROP TC_ACT_SHOT

#define PACKET_HOST 0
#define VLAN_ID 0x0fff

#define ICMP 1
#define TCP 6
#define UDP 17
#define ICMPV6 58
#define SCTP 132
#define HOP_BY_HOP 0
#define ROUTING 43
#define FRAGMENT 44
#define AUTHENTICATION 51
#define DESTINATION_OPTIONS 60

#define ICMP_HEADER 8
#define ICMPV6_ERROR_MAX 127
#define TCP_UP_TO_FLAGS 14
#define ND_FIRST 133	/* Neighbour Discovery (RFC 4861) */
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136
#define ND_LAST 137
#define ND_HOP_LIMIT 255
#define EXTENSIONS_MAX 64
#define IPV4_FRAGMENT 0x3fff	/* more fragments, or an offset */
#define IPV4_OFFSET 0x1fff
#define IPV6_FRAGMENT_BITS 0xfff9	/* offset, or more to come; neither is an atomic fragment (RFC 6946) */

#define FIN_SYN_RST_ACK 0x17
#define SYN 0x02
#define SYN_NS 64000000000ULL	/* as long as a client repeats its SYN by default (tcp_syn_retries = 6) */
#define SYNS_MAX 65536

#define MARKS_MAX 65536
#define HEARD_MAX 16384	/* datapath/bpf/talks.py */
#define RETURNING 0x76697061	/* packet mark of held SYNs: datapath/bpf/holds.py */
#define READS_MAX 4
/* datapath/bpf/buckets.py */
#define BUCKETS_EACH 4	/* for each address that there is room for */
#define PROBES_MAX 16
#define NOWHERE 0xffffffffu
#define SPREAD 0x9e3779b1u	/* 2^32 divided by the golden ratio: neighbours fall far apart */

/* include/net/tcp_states.h */
enum { TCP_SYN_RECV = 3, TCP_CLOSE = 7, TCP_LISTEN = 10, TCP_NEW_SYN_RECV = 12 };

/* datapath.engine.SlotState */
enum state { CLOSED = 0, OPEN = 1, DRAINING = 2, OPENING = 3, NOTING = 4, KEEPING_UDP = 5, LEAVING_UDP = 6 };

/* Why a packet has no slot: datapath.bpf.tables.REASONS. */
enum fault { SOUND = 0, TRUNCATED = 1, MALFORMED = 2, PORT_REFUSED = 3, FAULTS = 4 };

/* Beyond the states: packets that have none; REFUSED + fault. */
enum { NOT_OURS = 16, REFUSED = 32 };

/* datapath.bpf.tables.KINDS */
enum kind { SOURCEIP = 0, SOURCEIP_SOURCEPORT = 1, SOURCEIP_SOURCEPORT_DESTPORT = 2, SOURCENET = 3 };

/* datapath.bpf.tables.ORDERS and PORT_FATES */
enum order { NETWORK_ORDER = 0, CLUSTERIP_ORDER = 1 };
enum port_fate { PORT_SHARED = 0, PORT_ONE = 1, PORT_BARRED = 2 };
#define RULES_MAX 16	/* datapath.ports.RULES_MAX */

/* datapath.bpf.tables.VERDICTS */
enum verdict { ACCEPTED = 0, FOREIGN = 1, EXPIRED = 2, WAS_DRAINING = 3, WAS_OPENING = 4, VERDICTS = 5 };

/* The maps are shared with datapath/bpf/tables.py; a change of their layout changes the digit in their names. */

struct control {
	__u64 deadline_ns;	/* CLOCK_BOOTTIME: the lease of the whole host */
	__u64 generation;
	__u64 slots_max;	/* of each half of vip1_slots */
	__u64 addresses_max;	/* of each half of vip2_addresses; a power of two */
	__u64 salt[2];	/* of the buckets of each half */
	__u64 made[58];	/* not read here: interfaces whose clsact is ours */
};

struct port_rule {
	__u16 first;
	__u16 last;
	__u16 slot;
	__u8 protocol;	/* 0: each that has ports */
	__u8 fate;
};

struct address {
	__u32 used;
	__u32 kind;
	__u32 seed;
	__u32 slots;
	__u32 first;	/* place of slot 0 in vip1_slots and vip1_counts */
	__u32 label_bytes;
	__u32 ip[4];	/* IPv4 in the first word */
	__u8 mac[6];
	__u8 version;
	__u8 order;
	__u32 rule_count;
	__u32 padding;
	struct port_rule rules[RULES_MAX];
	__u8 label[328];	/* not read here */
};

struct count {
	__u64 packets;
	__u64 bytes;
};

struct counts {
	struct count of[VERDICTS];
};

struct faults {
	struct count of[FAULTS];	/* SOUND never is counted */
};

struct syn_key {
	__u32 client[4];
	__u32 index;
	__u16 client_port;
	__u16 here_port;
};

struct syn {
	__u64 when_ns;
	__u32 sequence;
	__u32 padding;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} vip2_control SEC(".maps");

/* Where an address is looked for: the number, by which vip2_addresses and vip2_refused know it, plus one; 0 ends the
 * search (datapath/bpf/buckets.py).  An array, which is read in place: a hash map would be asked by a call, and calls
 * are what a packet that is not for us would pay most for.  Sizes of maps here are least ones.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} vip1_buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct address);
} vip2_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} vip1_slots SEC(".maps");

/* Counters of each processor one after the other: plain additions, and read without a system call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} vip1_counts SEC(".maps");

/* What of an address has no slot, by reason. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct faults);
} vip2_refused SEC(".maps");

/* SYNs that opening slots let in lately: with SYN cookies there is no socket until the client answers. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SYNS_MAX);
	__type(key, struct syn_key);
	__type(value, struct syn);
} vip1_syns SEC(".maps");

/* A SYN as the hosts of a move tell it each other (datapath/hold/syns.py); EVERY_NUMBER: all of its flow. */
enum { ONE_NUMBER = 0, EVERY_NUMBER = 1 };

struct mark {
	__u32 client[4];
	__u32 index;
	__u16 client_port;
	__u16 here_port;
	__u32 sequence;
	__u32 kind;
};

struct marked {
	__u64 when_ns;
	__u64 slot;	/* for the engine, which tells one slot's from another's by it */
};

/* Those that noting slots accepted here: theirs, and their repetitions', is this host while the slot drains. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MARKS_MAX);
	__type(key, struct mark);
	__type(value, struct marked);
} vip1_seen SEC(".maps");

/* Those that the old owner of an opening slot accepted: never to be answered here as well. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MARKS_MAX);
	__type(key, struct mark);
	__type(value, struct marked);
} vip1_never SEC(".maps");

struct hold {
	__u64 missed;	/* SYNs that there was no room to note: what was seen is not all */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hold);
} vip1_hold SEC(".maps");

/* A UDP conversation (datapath/hold/datagrams.py). */
struct talk {
	__u32 client[4];
	__u32 index;
	__u16 client_port;
	__u16 here_port;
};

/* Those that slots which drain have heard, and when they did last. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, HEARD_MAX);
	__type(key, struct talk);
	__type(value, struct marked);
} vip1_heard SEC(".maps");

/* Those that the old owner of an opening slot keeps. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MARKS_MAX);
	__type(key, struct talk);
	__type(value, struct marked);
} vip1_left SEC(".maps");

/* What a packet says about TCP, for slots that are on the move. */
enum subject {
	NO_TCP,
	SEGMENT,	/* of a connection that it names */
	QUOTED,	/* an ICMP error about one */
	PIECE,	/* a fragment: only the first one names the connection */
	UNTOLD,	/* TCP, cut off before its flags */
};

struct packet {
	__u32 to[4];	/* IPv4 in the first word */
	__u32 client[4];
	__u32 here[4];	/* our end of the flow that it is about */
	__u32 bytes;	/* from the IP header on */
	__u32 sequence;
	__u16 client_port;
	__u16 here_port;
	__u8 version;
	__u8 protocol;	/* TCP, UDP or SCTP whose ports count if the address looks at ports; 0: by address alone */
	__u8 for_source_port;	/* the source port could be read */
	__u8 for_both_ports;
	__u8 subject;
	__u8 flags;
	__u8 fault;
	__u8 quoted;	/* the ports are those of a packet that an ICMP error quotes */
};

enum { QUOTED_PLAINLY = 1, QUOTED_WITH_OPTIONS = 2 };

static __always_inline __u64 generation_of(const struct control *control)
{
	return *(const volatile __u64 *)&control->generation;
}

static __always_inline bool is_address(const struct address *address, __u8 version, const __u32 *ip)
{
	return address->used && address->version == version && address->ip[0] == ip[0] && address->ip[1] == ip[1] &&
	       address->ip[2] == ip[2] && address->ip[3] == ip[3];
}

struct words {
	__u32 of[4];
};

/* An element of an array map.  A core without CAP_PERFMON pays for each place on the stack that is written for the first
 * time, and again each time for one that the verifier takes for a spilled register, with a barrier (5 ns) against
 * speculation (kernel/bpf/verifier.c, check_stack_write_fixed_off).  A key that lives no longer than its look-up shares
 * its place with all others, and at an odd word it is no register. */
static __always_inline void *element(void *map, __u32 at)
{
	struct {
		__u32 unused;
		__u32 at;
	} __attribute__((aligned(8))) key;

	key.at = at;
	return bpf_map_lookup_elem(map, &key.at);
}

static __always_inline __u32 spread_of(const __u32 version, const __u32 *ip)
{
	__u32 spread = bpf_ntohl(ip[0]);

	if (version == 6) {
		spread = spread * SPREAD + bpf_ntohl(ip[1]);
		spread = spread * SPREAD + bpf_ntohl(ip[2]);
		spread = spread * SPREAD + bpf_ntohl(ip[3]);
	}
	return spread;
}

/* Where an address is looked for first; `spread` is made of it. */
static __always_inline __u32 first_bucket(const struct control *control, __u32 half, __u32 spread, __u32 buckets)
{
	/* both are read: a computed place in the map would be masked against speculation */
	__u64 even = *(const volatile __u64 *)&control->salt[0], odd = *(const volatile __u64 *)&control->salt[1];

	return (__u64)((spread ^ (__u32)(half ? odd : even)) * SPREAD) * buckets >> 32;
}

/* The number of an address, one that is not in force now perhaps; NOWHERE for any other.  A function of its own to the
 * verifier, which then looks at its many ways once: without CAP_PERFMON it follows mispredicted ones as well. */
__noinline __u32 look_up(__u32 version, const struct words *words)
{
	struct control *control = element(&vip2_control, 0);
	__u32 buckets, spread, ip[4];
	int again, i;

	if (!control || !words)
		return NOWHERE;
	__builtin_memcpy(ip, words->of, sizeof(ip));
	buckets = control->addresses_max * BUCKETS_EACH;
	spread = spread_of(version, ip);
	for (again = 0; again < 2; again++) {
		__u64 generation = generation_of(control);
		__u32 half = generation & 1;
		__u32 first = first_bucket(control, half, spread, buckets);

#pragma clang loop unroll(full)
		for (i = 0; i < PROBES_MAX; i++) {
			__u32 at = half * buckets + ((first + i) & (buckets - 1));
			__u64 *number = element(&vip1_buckets, at);
			struct address *address;
			__u32 index;

			if (!number || !*number)
				break;
			index = *number - 1;
			address = element(&vip2_addresses, half * control->addresses_max + index);
			if (address && is_address(address, version, ip))
				return index;
		}
		if (generation_of(control) == generation)
			break;	/* else it was written anew while we looked */
	}
	return NOWHERE;
}

static __always_inline __u32 find_index(__u8 version, const __u32 *ip)
{
	struct words words = {};

	words.of[0] = ip[0];
	if (version == 6)
		__builtin_memcpy(words.of, ip, sizeof(words.of));
	return look_up(version, &words);
}

static __always_inline bool load(struct __sk_buff *skb, __u32 at, void *to, __u32 bytes)
{
	return bpf_skb_load_bytes(skb, ETH_HLEN + at, to, bytes) == 0;
}

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == TCP || protocol == UDP || protocol == SCTP;
}

/* Each of the following returns the packet's fault; `end` is never beyond what has arrived. */

struct tcp_head {
	__u16 source;
	__u16 destination;
	__u32 sequence;
	__u32 acknowledged;
	__u8 offset;
	__u8 flags;
};

static __always_inline int read_ports(struct __sk_buff *skb, __u8 protocol, __u32 at, __u32 end, struct packet *p)
{
	__u32 bytes = protocol == TCP && at + TCP_UP_TO_FLAGS <= end ? TCP_UP_TO_FLAGS : 4;
	const void *data = (const void *)(long)skb->data;
	const void *data_end = (const void *)(long)skb->data_end;
	const struct tcp_head *head;
	struct tcp_head copy;

	p->protocol = protocol;
	p->subject = protocol == TCP ? UNTOLD : NO_TCP;
	if (at + 4 > end) {
		if (at + 2 > end)
			return SOUND;
		p->for_source_port = 1;
		return load(skb, at, &p->client_port, 2) ? SOUND : TRUNCATED;
	}
	/* In place behind headers without options.  (A core without CAP_PERFMON may neither add what is not known to a
	 * packet's pointer nor compare one with NULL.) */
	if (at == sizeof(struct iphdr) && data + ETH_HLEN + sizeof(struct iphdr) + TCP_UP_TO_FLAGS <= data_end)
		head = data + ETH_HLEN + sizeof(struct iphdr);
	else if (at == sizeof(struct ipv6hdr) && data + ETH_HLEN + sizeof(struct ipv6hdr) + TCP_UP_TO_FLAGS <= data_end)
		head = data + ETH_HLEN + sizeof(struct ipv6hdr);
	else if (load(skb, at, &copy, bytes))
		head = &copy;
	else
		return TRUNCATED;
	if (bytes == TCP_UP_TO_FLAGS) {
		p->subject = SEGMENT;
		p->sequence = bpf_ntohl(head->sequence);
		p->flags = head->flags;
	}
	p->client_port = head->source;
	p->here_port = head->destination;
	p->for_source_port = p->for_both_ports = 1;
	return SOUND;
}

/* A quote was sent by us: its destination is the client. */
static __always_inline int read_quoted_ports(struct __sk_buff *skb, __u8 protocol, __u32 at, __u32 end,
					     struct packet *p)
{
	__u16 ports[2];

	p->protocol = protocol;
	p->subject = protocol == TCP ? UNTOLD : NO_TCP;
	if (at + 4 > end)
		return SOUND;
	if (!load(skb, at, ports, 4))
		return TRUNCATED;
	p->here_port = ports[0];
	p->client_port = ports[1];
	p->for_source_port = p->for_both_ports = 1;
	p->quoted = QUOTED_PLAINLY;
	if (protocol == TCP)
		p->subject = QUOTED;
	return SOUND;
}

static __always_inline int read_quote4(struct __sk_buff *skb, __u32 at, __u32 end, struct packet *p)
{
	struct iphdr quote;
	int fault;

	if (at + sizeof(quote) > end || !load(skb, at, &quote, sizeof(quote)))
		return TRUNCATED;
	if (quote.version != 4 || quote.ihl < 5)
		return MALFORMED;
	p->client[0] = quote.daddr;
	p->here[0] = quote.saddr;
	if (quote.frag_off & bpf_htons(IPV4_OFFSET) || !has_ports(quote.protocol)) {
		p->subject = quote.protocol == TCP ? UNTOLD : NO_TCP;
		return SOUND;
	}
	fault = read_quoted_ports(skb, quote.protocol, at + quote.ihl * 4, end, p);
	if (quote.ihl != 5)
		p->quoted = QUOTED_WITH_OPTIONS;	/* none of ours */
	return fault;
}

static __always_inline int read_quote6(struct __sk_buff *skb, __u32 at, __u32 end, struct packet *p)
{
	struct ipv6hdr quote;

	if (at + sizeof(quote) > end || !load(skb, at, &quote, sizeof(quote)))
		return TRUNCATED;
	if (quote.version != 6)
		return MALFORMED;
	__builtin_memcpy(p->client, &quote.daddr, sizeof(p->client));
	__builtin_memcpy(p->here, &quote.saddr, sizeof(p->here));
	if (!has_ports(quote.nexthdr))
		return SOUND;
	return read_quoted_ports(skb, quote.nexthdr, at + sizeof(quote), end, p);
}

static __always_inline bool is_icmp_error(__u8 type)
{
	/* unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792) */
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static __always_inline int read_ipv4(struct __sk_buff *skb, const struct iphdr *ip, struct packet *p)
{
	__u32 header = ip->ihl * 4;
	__u32 end = bpf_ntohs(ip->tot_len);
	__u8 type;

	if (ip->version != 4)
		return MALFORMED;
	if (!end && skb->gso_size)
		end = p->bytes;	/* merged beyond 64 KiB on arrival ("BIG TCP"): the field has no room for it */
	if (header < sizeof(*ip) || end < header)
		return MALFORMED;
	if (p->bytes < end)
		return TRUNCATED;
	if (ip->frag_off & bpf_htons(IPV4_FRAGMENT)) {
		p->subject = ip->protocol == TCP ? PIECE : NO_TCP;
		return SOUND;
	}
	if (has_ports(ip->protocol))
		return read_ports(skb, ip->protocol, header, end, p);
	if (ip->protocol != ICMP)
		return SOUND;
	if (header + ICMP_HEADER > end || !load(skb, header, &type, 1))
		return TRUNCATED;
	return is_icmp_error(type) ? read_quote4(skb, header + ICMP_HEADER, end, p) : SOUND;
}

/* Of what upper_layer returns: where the header is, its protocol, and whether the packet is a fragment of it. */
#define UPPER_AT(found) ((found) & 0xfffff)
#define UPPER_PROTOCOL(found) ((found) >> 20 & 0xff)
#define UPPER_IS_FRAGMENT 0x10000000
#define UNSOUND(fault) (-(fault))

#define IS_THE_END (1ull << 63)

/* One extension header (RFC 8200): where the next one begins, below it the next one's kind; or IS_THE_END and an answer.
 * A function of its own to the verifier, which so looks at it once and not once for each header that may come before.
 */
__noinline __u64 past_extension(struct __sk_buff *skb, __u32 protocol, __u32 at, __u32 end)
{
	struct {
		__u8 protocol;
		__u8 units;
		__u16 fragment;
	} extension = {};

	if (protocol == FRAGMENT) {
		if (at + 8 > end || !load(skb, at, &extension, 4))
			return IS_THE_END | (__u32)UNSOUND(TRUNCATED);
		if (extension.fragment & bpf_htons(IPV6_FRAGMENT_BITS))
			return IS_THE_END | UPPER_IS_FRAGMENT | extension.protocol << 20;
		at += 8;
	} else if (protocol == HOP_BY_HOP || protocol == ROUTING || protocol == DESTINATION_OPTIONS) {
		if (at + 2 > end || !load(skb, at, &extension, 2))
			return IS_THE_END | (__u32)UNSOUND(TRUNCATED);
		at += (extension.units + 1) * 8;
	} else if (protocol == AUTHENTICATION && at + 2 > end) {
		return IS_THE_END | (__u32)UNSOUND(TRUNCATED);
	} else {
		return IS_THE_END | (protocol & 0xff) << 20 | at;
	}
	if (at > end)
		return IS_THE_END | (__u32)UNSOUND(TRUNCATED);
	return (__u64)at << 8 | extension.protocol;
}

/* Behind the extension headers. */
__noinline int upper_layer(struct __sk_buff *skb, __u32 protocol, __u32 end)
{
	__u32 at = sizeof(struct ipv6hdr);
	int i;

	/* Unrolled: without CAP_PERFMON the verifier follows mispredicted branches as well, and a counted loop's never end. */
#pragma clang loop unroll(full)
	for (i = 0; i < EXTENSIONS_MAX; i++) {
		__u64 past = past_extension(skb, protocol, at, end);

		if (past & IS_THE_END)
			return (int)(__u32)past;
		protocol = past & 0xff;
		at = past >> 8;
	}
	return UNSOUND(MALFORMED);
}

static __always_inline int read_ipv6(struct __sk_buff *skb, const struct ipv6hdr *ip, struct packet *p)
{
	__u32 end = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	__u32 at = sizeof(*ip);
	__u8 protocol = ip->nexthdr;
	__u8 type;

	if (ip->version != 6)
		return MALFORMED;
	if (!ip->payload_len && skb->gso_size)
		end = p->bytes;
	if (p->bytes < end)
		return TRUNCATED;
	if (!has_ports(protocol) && protocol != ICMPV6) {
		int found = upper_layer(skb, protocol, end);

		if (found < 0)
			return -found;
		protocol = UPPER_PROTOCOL(found);
		if (found & UPPER_IS_FRAGMENT) {
			p->subject = protocol == TCP ? PIECE : NO_TCP;
			return SOUND;
		}
		at = UPPER_AT(found);
	}
	if (has_ports(protocol))
		return read_ports(skb, protocol, at, end, p);
	if (protocol != ICMPV6)
		return SOUND;
	if (at + ICMP_HEADER > end || !load(skb, at, &type, 1))
		return TRUNCATED;
	return type <= ICMPV6_ERROR_MAX ? read_quote6(skb, at + ICMP_HEADER, end, p) : SOUND;
}

/* include/linux/jhash.h, by Bob Jenkins, and include/linux/kernel.h. */

static __always_inline __u32 rotated(__u32 word, int by)
{
	return word << by | word >> (32 - by);
}

static __always_inline __u32 jhash(const __u32 *key, __u32 words, bool more_than_three, __u32 seed)
{
	__u32 a, b, c;

	a = b = c = 0xdeadbeef + words * 4 + seed;
	if (more_than_three) {
		a += key[0];
		b += key[1];
		c += key[2];
		a -= c; a ^= rotated(c, 4); c += b;
		b -= a; b ^= rotated(a, 6); a += c;
		c -= b; c ^= rotated(b, 8); b += a;
		a -= c; a ^= rotated(c, 16); c += b;
		b -= a; b ^= rotated(a, 19); a += c;
		c -= b; c ^= rotated(b, 4); b += a;
		key += 3;
	}
	a += key[0];
	b += key[1];
	c += key[2];
	c ^= b; c -= rotated(b, 14);
	a ^= c; a -= rotated(c, 11);
	b ^= a; b -= rotated(a, 25);
	c ^= b; c -= rotated(b, 16);
	a ^= c; a -= rotated(c, 4);
	b ^= a; b -= rotated(a, 14);
	c ^= b; c -= rotated(b, 24);
	return c;
}

/* What a rule for ports says about a packet, the slot behind it; PORT_SHARED where none fits.  (A function of its own, as
 * `past_extension`.) */
__noinline __u32 find_rule(const struct packet *p, const struct address *address)
{
	__u32 i;

	if (!p || !address)
		return PORT_SHARED;
	/* unrolled, as a row of constant offsets (see `add`) */
#pragma clang loop unroll(full)
	for (i = 0; i < RULES_MAX; i++) {
		const struct port_rule *rule = &address->rules[i];
		__u16 port = bpf_ntohs(p->here_port);

		if (i >= address->rule_count)
			break;
		asm volatile("" : "+r"(rule));
		if (port < rule->first || port > rule->last || (rule->protocol && rule->protocol != p->protocol))
			continue;
		return rule->fate << 16 | rule->slot;
	}
	return PORT_SHARED << 16;
}

/* The slot to which a packet hashes, or why it has none. */
static __always_inline int hash_to_slot(const struct packet *p, const struct address *address, __u32 *slot)
{
	/* the words of the key, then zeros: adding those changes nothing */
	__u32 key[6] = {};
	__u32 ports[2] = {};
	__u32 count = address->kind == SOURCENET ? 0 : address->kind;

	if (!p->protocol) {
		if (address->order != CLUSTERIP_ORDER)
			count = 0;
	} else if (count) {
		if (!p->for_source_port || (count == 2 && !p->for_both_ports))
			return TRUNCATED;
		ports[0] = p->client_port;
		if (count == 2)
			ports[1] = p->here_port;
	}
	key[0] = p->client[0];
	if (p->version == 4) {
		if (address->kind == SOURCENET)
			key[0] &= bpf_htonl(0xffffff00);
		if (address->order == CLUSTERIP_ORDER)
			key[0] = bpf_ntohl(key[0]);
		key[1] = ports[0];
		key[2] = ports[1];
		*slot = (__u64)jhash(key, 1 + count, false, address->seed) * address->slots >> 32;
	} else {
		key[1] = p->client[1];
		if (address->kind == SOURCENET) {
			key[1] &= bpf_htonl(0xffffff00);
		} else {
			key[2] = p->client[2];
			key[3] = p->client[3];
		}
		key[4] = ports[0];
		key[5] = ports[1];
		*slot = (__u64)jhash(key, 4 + count, true, address->seed) * address->slots >> 32;
	}
	return SOUND;
}

/* The slot of a packet, or why it has none. */
static __always_inline int find_slot(const struct packet *p, const struct address *address, __u32 *slot)
{
	if (p->protocol && address->rule_count) {
		__u32 fate;

		if (!p->for_both_ports)
			return TRUNCATED;
		fate = find_rule(p, address);
		if (fate >> 16 == PORT_ONE)
			*slot = fate & 0xffff;
		fate >>= 16;
		if (fate == PORT_BARRED)
			return PORT_REFUSED;
		if (fate == PORT_ONE)
			return SOUND;
	}
	return hash_to_slot(p, address, slot);
}

/* The state of the socket that a segment of this connection would reach; 0 when there is none. */
static __always_inline int socket_state(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;
	int state;

	if (p->version == 4) {
		tuple.ipv4.saddr = p->client[0];
		tuple.ipv4.daddr = p->here[0];
		tuple.ipv4.sport = p->client_port;
		tuple.ipv4.dport = p->here_port;
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, p->client, sizeof(p->client));
		__builtin_memcpy(tuple.ipv6.daddr, p->here, sizeof(p->here));
		tuple.ipv6.sport = p->client_port;
		tuple.ipv6.dport = p->here_port;
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return 0;
	state = sk->state;
	bpf_sk_release(sk);
	return state;
}

static __always_inline bool begins(const struct packet *p)
{
	return p->subject == SEGMENT && (p->flags & FIN_SYN_RST_ACK) == SYN;
}

static __always_inline void name_syn(struct syn_key *key, const struct packet *p, __u32 index)
{
	__builtin_memcpy(key->client, p->client, sizeof(key->client));
	key->index = index;
	key->client_port = p->client_port;
	key->here_port = p->here_port;
}

static __always_inline void note_syn(const struct packet *p, __u32 index, __u64 now)
{
	struct syn_key key;
	struct syn syn = { .when_ns = now, .sequence = p->sequence };

	name_syn(&key, p, index);
	bpf_map_update_elem(&vip1_syns, &key, &syn, BPF_ANY);
}

/* Whether it comes directly after a SYN that we let in; the number tells it from a later use of the same ports. */
static __always_inline bool follows_syn(const struct packet *p, __u32 index, __u64 now)
{
	struct syn_key key;
	struct syn *syn;

	name_syn(&key, p, index);
	syn = bpf_map_lookup_elem(&vip1_syns, &key);
	return syn && now - syn->when_ns < SYN_NS && p->sequence == syn->sequence + 1;
}

static __always_inline void mark_syn(struct mark *mark, const struct packet *p, __u32 index)
{
	__builtin_memcpy(mark->client, p->client, sizeof(mark->client));
	mark->index = index;
	mark->client_port = p->client_port;
	mark->here_port = p->here_port;
	mark->sequence = bpf_htonl(p->sequence);	/* as in the packet: hosts tell it each other */
	mark->kind = ONE_NUMBER;
}

/* Accepted by a slot that is about to drain. */
static __always_inline void see(const struct packet *p, __u32 index, __u32 slot, __u64 now)
{
	struct marked marked = { .when_ns = now, .slot = slot };
	struct mark mark;
	__u32 zero = 0;
	struct hold *hold;

	mark_syn(&mark, p, index);
	if (!bpf_map_update_elem(&vip1_seen, &mark, &marked, BPF_ANY))
		return;
	hold = bpf_map_lookup_elem(&vip1_hold, &zero);
	if (hold)
		__sync_fetch_and_add(&hold->missed, 1);
}

static __always_inline bool is_marked(void *marks, const struct packet *p, __u32 index, __u64 now)
{
	struct mark mark;
	struct marked *marked;

	mark_syn(&mark, p, index);
	marked = bpf_map_lookup_elem(marks, &mark);
	if (marked && now - marked->when_ns < SYN_NS)
		return true;
	mark.sequence = 0;
	mark.kind = EVERY_NUMBER;
	marked = bpf_map_lookup_elem(marks, &mark);
	return marked && now - marked->when_ns < SYN_NS;
}

/* Whether it comes directly after a SYN that this slot took before it drained: with SYN cookies there is no socket yet. */
static __always_inline bool follows_seen(const struct packet *p, __u32 index, __u64 now)
{
	struct mark mark;
	struct marked *marked;

	mark_syn(&mark, p, index);
	mark.sequence = bpf_htonl(p->sequence - 1);
	marked = bpf_map_lookup_elem(&vip1_seen, &mark);
	return marked && now - marked->when_ns < SYN_NS;
}

/* A held SYN comes back in; the wire may have brought it as well, at the moment when its slot opened. */
static __always_inline bool is_repeated(struct __sk_buff *skb, const struct packet *p, __u32 index)
{
	struct syn_key key;
	struct syn *syn;

	if (skb->mark != RETURNING)
		return false;
	skb->mark = 0;
	name_syn(&key, p, index);
	syn = bpf_map_lookup_elem(&vip1_syns, &key);
	return syn && syn->sequence == p->sequence;
}

/* Whether it is a datagram of UDP, or an ICMP error about one, that shows its ports. */
static __always_inline bool is_of_talk(const struct packet *p)
{
	return p->protocol == UDP && p->for_both_ports && p->quoted != QUOTED_WITH_OPTIONS;
}

/* The same table, of UDP.  A function of its own, as `past_extension`. */
__noinline int belongs_to_talk(const struct packet *p, __u32 state, __u32 index, __u32 slot, __u64 now)
{
	struct talk talk = {};
	struct marked *heard;

	if (!p || state == LEAVING_UDP)
		return false;
	__builtin_memcpy(talk.client, p->client, sizeof(talk.client));
	talk.index = index;
	talk.client_port = p->client_port;
	talk.here_port = p->here_port;
	if (state == OPENING)
		return !bpf_map_lookup_elem(&vip1_left, &talk);
	heard = bpf_map_lookup_elem(&vip1_heard, &talk);
	if (heard) {
		if (!p->quoted)
			heard->when_ns = now;
		return true;
	}
	if (state != KEEPING_UDP)
		return false;
	if (!p->quoted) {
		struct marked first = { .when_ns = now, .slot = slot };

		/* where there is no room the map is full, and who reads it sees that */
		bpf_map_update_elem(&vip1_heard, &talk, &first, BPF_ANY);
	}
	return true;
}

/* Whether a packet of a draining or opening slot is accepted: the table at the top of datapath/raw/judge.py. */
static __always_inline bool belongs(struct __sk_buff *skb, const struct packet *p, __u32 state, __u32 index,
				    __u64 now)
{
	int sk;

	if (p->subject == NO_TCP)
		return state == OPENING;
	if (p->subject == PIECE)
		return state == DRAINING;
	if (p->subject == UNTOLD)
		return false;
	if (begins(p) && state == OPENING) {
		if (is_marked(&vip1_never, p, index, now) || is_repeated(skb, p, index))
			return false;
		note_syn(p, index, now);
		return true;
	}
	if (begins(p) && is_marked(&vip1_seen, p, index, now))
		return true;
	sk = socket_state(skb, p);
	if (begins(p))
		return sk == TCP_SYN_RECV || sk == TCP_NEW_SYN_RECV;
	if (sk && sk != TCP_LISTEN && sk != TCP_CLOSE)
		return true;
	if (p->subject != SEGMENT)
		return false;
	return state == OPENING ? follows_syn(p, index, now) : follows_seen(p, index, now);
}

static __always_inline void add(struct count *count, __u32 bytes)
{
	/* the compiler may not turn a row of these into one with a computed offset */
	asm volatile("" : "+r"(count));
	count->packets += 1;
	count->bytes += bytes;
}

static __always_inline void count_slot(const struct control *control, __u32 place, __u32 verdict, __u32 bytes)
{
	__u32 at = bpf_get_smp_processor_id() * control->slots_max + place;
	struct counts *counts = element(&vip1_counts, at);
	__u32 which;

	if (!counts)
		return;
	/* by a constant offset each: without CAP_PERFMON a computed one is refused where two paths meet */
#pragma clang loop unroll(full)
	for (which = 0; which < VERDICTS; which++)
		if (which == verdict)
			add(&counts->of[which], bytes);
}

static __always_inline void count_refused(const struct control *control, __u32 index, __u32 fault, __u32 bytes)
{
	struct faults *faults = element(&vip2_refused, bpf_get_smp_processor_id() * control->addresses_max + index);

	__u32 which;

	if (!faults)
		return;
#pragma clang loop unroll(full)
	for (which = 0; which < FAULTS; which++)
		if (which == fault)
			add(&faults->of[which], bytes);
}

/* State of the packet's slot, from one whole generation of the tables; `place` is the slot's place in them. */
static __always_inline __u32 find_state(const struct control *control, __u32 index, const struct packet *p,
					__u32 *place, __u32 *number)
{
	int i;

	for (i = 0; i < READS_MAX; i++) {
		__u64 generation = generation_of(control);
		__u32 half = generation & 1;
		__u32 state = NOT_OURS;
		struct address *address = element(&vip2_addresses, half * control->addresses_max + index);
		__u32 slot = 0;

		if (!address)
			return NOT_OURS;
		if (is_address(address, p->version, p->to)) {
			int fault = p->fault ? p->fault : find_slot(p, address, &slot);

			state = REFUSED + fault;
			if (!fault) {
				__u64 *held;

				*number = slot;
				*place = address->first + slot;
				held = element(&vip1_slots, half * control->slots_max + *place);
				state = held ? (__u32)*held : CLOSED;
			}
		}
		if (generation_of(control) == generation)
			return state;
	}
	return REFUSED + TRUNCATED;	/* it never was in force for long enough to judge by it */
}

static __always_inline bool is_over(const struct control *control, __u64 now)
{
	return now >= *(const volatile __u64 *)&control->deadline_ns;
}

static __always_inline int drop(const struct control *control, __u32 place, __u32 verdict, __u32 bytes)
{
	count_slot(control, place, verdict, bytes);
	return DROP;
}

static __always_inline int let_in(struct __sk_buff *skb, const struct control *control, __u32 place, __u32 bytes)
{
	if (skb->pkt_type != PACKET_HOST && bpf_skb_change_type(skb, PACKET_HOST))
		return DROP;
	count_slot(control, place, ACCEPTED, bytes);
	return ACCEPT;
}

/* A function of its own to the verifier: it looks at this once, and not once for each way to a packet. */
__noinline int judge(struct __sk_buff *skb, const struct packet *p, __u32 index)
{
	struct control *control = element(&vip2_control, 0);
	__u32 place = 0, slot = 0, state;
	__u64 now;

	if (!control || !p)
		return DROP;
	state = find_state(control, index, p, &place, &slot);
	if (state == NOT_OURS)
		return GO_ON;
	if (state >= REFUSED) {
		count_refused(control, index, state - REFUSED, p->bytes);
		return DROP;
	}
	if (state == CLOSED || state > LEAVING_UDP)
		return drop(control, place, FOREIGN, p->bytes);
	now = bpf_ktime_get_boot_ns();
	if (is_over(control, now))
		return drop(control, place, EXPIRED, p->bytes);
	if (state == NOTING) {
		if (begins(p))
			see(p, index, slot, now);
	} else if (state != OPEN) {
		bool drains = state == DRAINING || state == KEEPING_UDP;
		bool taken = is_of_talk(p) ? belongs_to_talk(p, state, index, slot, now) :
					     belongs(skb, p, drains ? DRAINING : OPENING, index, now);

		if (!taken)
			return drop(control, place, drains ? WAS_DRAINING : WAS_OPENING, p->bytes);
	}
	return let_in(skb, control, place, p->bytes);
}

/* The segment speaks, and no client: every host hears it. */
static __always_inline bool is_neighbour_discovery(struct __sk_buff *skb, const struct ipv6hdr *ip)
{
	__u8 type;

	if (ip->version != 6 || ip->nexthdr != ICMPV6 || ip->hop_limit != ND_HOP_LIMIT)
		return false;
	return load(skb, sizeof(*ip), &type, 1) && type >= ND_FIRST && type <= ND_LAST;
}

#define UNDECIDED 0x7fff

struct ports {
	__u16 client;
	__u16 here;
};

/* To be worked out again, rather than kept on the stack beyond a call. */
#define FORGET(value) asm volatile("" : "+r"(value))

/* GO_ON, made where it is returned: the compiler would keep it in a register from the first return on. */
static __always_inline int go_on(void)
{
	int verdict;

	asm volatile("%0 = %1" : "=r"(verdict) : "i"(GO_ON));
	return verdict;
}

static __always_inline __u32 bytes_of(const struct __sk_buff *skb)
{
	return *(const volatile __u32 *)&skb->len - ETH_HLEN;
}

/* Where the header of a family has what we read. */
#define HEADER_BYTES(version) ((version) == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr))
#define SOURCE_AT(version) ((version) == 4 ? offsetof(struct iphdr, saddr) : offsetof(struct ipv6hdr, saddr))
#define DESTINATION_AT(version) ((version) == 4 ? offsetof(struct iphdr, daddr) : offsetof(struct ipv6hdr, daddr))
#define PROTOCOL_AT(version) ((version) == 4 ? offsetof(struct iphdr, protocol) : offsetof(struct ipv6hdr, nexthdr))
#define WORDS(version) ((version) == 4 ? 1 : 4)

/* Whether the header has no options and is followed by ports, and the packet is as long as it says. */
static __always_inline bool is_plain(struct __sk_buff *skb, const void *header, const __u32 version)
{
	const struct iphdr *ip = header;
	const struct ipv6hdr *ip6 = header;
	__u32 end = version == 4 ? bpf_ntohs(ip->tot_len) : sizeof(*ip6) + bpf_ntohs(ip6->payload_len);

	if (version == 4 ? *(const __u8 *)header != 0x45 || ip->frag_off & bpf_htons(IPV4_FRAGMENT) : ip6->version != 6)
		return false;
	return end >= HEADER_BYTES(version) + sizeof(struct ports) && bytes_of(skb) >= end;
}

/* Nearly every packet, in one go and without a call: no options, extension headers or fragments, with ports, its headers
 * in the linear part; to no address of ours, or to one that is found where it is looked for first, has no rules for
 * ports, and has a slot for it that is open or closed.  All else is UNDECIDED, and looked at from the beginning.
 * No more than four values live across a look-up: there are no more registers for them, and see `element`. */
static __always_inline int judge_plain(struct __sk_buff *skb, const __u32 version)
{
	const struct control *control = element(&vip2_control, 0);
	const void *data = (const void *)(long)skb->data;
	const void *data_end = (const void *)(long)skb->data_end;
	const __u32 *from = data + ETH_HLEN + SOURCE_AT(version), *to = data + ETH_HLEN + DESTINATION_AT(version);
	const struct ports *ports = data + ETH_HLEN + HEADER_BYTES(version);
	const __u8 *protocol = data + ETH_HLEN + PROTOCOL_AT(version);
	__u32 half, buckets, at, slot = 0, place, state, i;
	__u64 generation, *found;
	struct address *address;
	struct packet p = {};

	if (!control || data + ETH_HLEN + HEADER_BYTES(version) + sizeof(*ports) > data_end)
		return UNDECIDED;
	generation = generation_of(control);
	half = generation & 1;
	buckets = control->addresses_max * BUCKETS_EACH;
	at = half * buckets + (first_bucket(control, half, spread_of(version, to), buckets) & (buckets - 1));
	FORGET(generation);
	found = element(&vip1_buckets, at);
	if (!found || !*found)
		return generation_of(control) == generation ? go_on() : UNDECIDED;
	half = generation & 1;
	at = half * control->addresses_max + (__u32)(*found - 1);
	FORGET(generation);
	address = element(&vip2_addresses, at);
	if (!address || !address->used || address->version != version || address->rule_count)
		return UNDECIDED;
#pragma clang loop unroll(full)
	for (i = 0; i < WORDS(version); i++)
		if (address->ip[i] != to[i])
			return UNDECIDED;
	if (!is_plain(skb, data + ETH_HLEN, version) || !has_ports(*protocol))
		return UNDECIDED;
	p.version = version;
	p.protocol = *protocol;
#pragma clang loop unroll(full)
	for (i = 0; i < WORDS(version); i++)
		p.client[i] = from[i];
	p.client_port = ports->client;
	p.here_port = ports->here;
	p.for_source_port = p.for_both_ports = 1;
	hash_to_slot(&p, address, &slot);
	place = address->first + slot;
	half = generation & 1;
	found = element(&vip1_slots, half * control->slots_max + place);
	state = found ? (__u32)*found : CLOSED;
	if (generation_of(control) != generation)
		return UNDECIDED;
	if (state == CLOSED)
		return drop(control, place, FOREIGN, bytes_of(skb));
	if (state != OPEN)
		return UNDECIDED;
	if (is_over(control, bpf_ktime_get_boot_ns()))
		return drop(control, place, EXPIRED, bytes_of(skb));
	return let_in(skb, control, place, bytes_of(skb));
}

/* Any packet.  A function of its own: `judge_plain` needs none of what this one puts on the stack. */
__noinline int judge_any(struct __sk_buff *skb)
{
	struct packet p = {};
	__u32 index;

	p.bytes = skb->len - ETH_HLEN;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		const void *data = (const void *)(long)skb->data;
		const void *end = (const void *)(long)skb->data_end;
		const struct iphdr *ip;
		struct iphdr copy;

		/* Read in place where the header is in the packet's linear part.  (A core without CAP_PERFMON may not compare
		 * a packet's pointer with NULL, so no function can say by one that it is not.) */
		if (data + ETH_HLEN + sizeof(copy) <= end)
			ip = data + ETH_HLEN;
		else if (load(skb, 0, &copy, sizeof(copy)))
			ip = &copy;
		else
			return GO_ON;
		p.to[0] = ip->daddr;
		index = find_index(4, p.to);
		if (index == NOWHERE)
			return GO_ON;
		p.version = 4;
		p.client[0] = ip->saddr;
		p.here[0] = ip->daddr;
		p.fault = read_ipv4(skb, ip, &p);
		return judge(skb, &p, index);
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		const void *data = (const void *)(long)skb->data;
		const void *end = (const void *)(long)skb->data_end;
		const struct ipv6hdr *ip;
		struct ipv6hdr copy;

		if (data + ETH_HLEN + sizeof(copy) <= end)
			ip = data + ETH_HLEN;
		else if (load(skb, 0, &copy, sizeof(copy)))
			ip = &copy;
		else
			return GO_ON;
		__builtin_memcpy(p.to, &ip->daddr, sizeof(p.to));
		index = find_index(6, p.to);
		if (index == NOWHERE || is_neighbour_discovery(skb, ip))
			return GO_ON;
		p.version = 6;
		__builtin_memcpy(p.client, &ip->saddr, sizeof(p.client));
		__builtin_memcpy(p.here, p.to, sizeof(p.here));
		p.fault = read_ipv6(skb, ip, &p);
		return judge(skb, &p, index);
	}
	return GO_ON;
}

/* The same of IPv6.  A function of its own: it needs more registers than there are, and would take them from IPv4. */
__noinline int judge_ipv6(struct __sk_buff *skb)
{
	int verdict = judge_plain(skb, 6);

	if (verdict != UNDECIDED)
		return verdict;
	return judge_any(skb);
}

SEC("tc")
int vip_judge(struct __sk_buff *skb)
{
	int verdict;

	/* A tagged frame belongs to its VLAN's interface, which has a tc ingress of its own; id 0 is only a priority. */
	if ((skb->vlan_present && skb->vlan_tci & VLAN_ID) || skb->len < ETH_HLEN)
		return go_on();
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return judge_ipv6(skb);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return go_on();
	verdict = judge_plain(skb, 4);
	if (verdict != UNDECIDED)
		return verdict;
	return judge_any(skb);
}

/* Whether it goes to one of our addresses: no such packet leaves, but a held one that turns round. */
static __always_inline bool is_ours(struct __sk_buff *skb)
{
	__u32 to[4] = {}, zero = 0;
	struct control *control = bpf_map_lookup_elem(&vip2_control, &zero);

	if (!control)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return load(skb, offsetof(struct iphdr, daddr), to, 4) && find_index(4, to) != NOWHERE;
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return load(skb, offsetof(struct ipv6hdr, daddr), to, 16) && find_index(6, to) != NOWHERE;
	return false;
}

#define ARP_REQUEST 1

struct arp {
	__u16 hardware;
	__u16 protocol;
	__u8 hardware_bytes;
	__u8 protocol_bytes;
	__u16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u32 sender;
	__u8 target_mac[ETH_ALEN];
	__u32 target;
} __attribute__((packed));

/* The MAC of an address that is in force; false where there is none. */
static __always_inline bool shared_mac(__u8 version, const __u32 *ip, __u8 *mac)
{
	__u32 zero = 0, at, index;
	struct control *control = bpf_map_lookup_elem(&vip2_control, &zero);
	struct address *address;

	if (!control)
		return false;
	index = find_index(version, ip);
	if (index == NOWHERE)
		return false;
	at = (generation_of(control) & 1) * control->addresses_max + index;
	address = bpf_map_lookup_elem(&vip2_addresses, &at);
	if (!address || !is_address(address, version, ip))
		return false;
	__builtin_memcpy(mac, address->mac, ETH_ALEN);
	return true;
}

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	__u8 difference = 0;
	int i;

	for (i = 0; i < ETH_ALEN; i++)
		difference |= a[i] ^ b[i];
	return !difference;
}

static __always_inline int announce_arp(struct __sk_buff *skb)
{
	__u8 mac[ETH_ALEN];
	struct arp arp;
	__u32 sender[4] = {};

	if (!load(skb, 0, &arp, sizeof(arp)))
		return GO_ON;
	if (arp.protocol != bpf_htons(ETH_P_IP) || arp.hardware_bytes != ETH_ALEN || arp.protocol_bytes != 4)
		return GO_ON;
	sender[0] = arp.sender;
	if (!shared_mac(4, sender, mac) || same_mac(mac, arp.sender_mac))
		return GO_ON;
	if (arp.operation != bpf_htons(ARP_REQUEST))
		return DROP;
	if (bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct arp, sender_mac), mac, sizeof(mac), 0))
		return DROP;
	return GO_ON;
}

/* A solicitation or an advertisement with one link-layer address, as the kernel sends them. */
struct neighbour {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__u32 flags;
	__u32 target[4];
	__u8 option;
	__u8 option_units;
	__u8 mac[ETH_ALEN];
} __attribute__((packed));

static __always_inline int announce_neighbour(struct __sk_buff *skb)
{
	const __u32 at = ETH_HLEN + sizeof(struct ipv6hdr);
	__u16 mac[ETH_ALEN / 2], said[ETH_ALEN / 2];
	struct neighbour message;
	struct ipv6hdr ip;
	__u32 about[4];
	int i;

	if (!load(skb, 0, &ip, sizeof(ip)) || ip.version != 6 || ip.nexthdr != ICMPV6)
		return GO_ON;
	if (!load(skb, sizeof(ip), &message, sizeof(message)))
		return GO_ON;
	if (message.type == ND_ADVERTISEMENT)
		__builtin_memcpy(about, message.target, sizeof(about));
	else if (message.type == ND_SOLICITATION)
		__builtin_memcpy(about, &ip.saddr, sizeof(about));
	else
		return GO_ON;
	if (!shared_mac(6, about, (__u8 *)mac) || same_mac((__u8 *)mac, message.mac))
		return GO_ON;
	if (message.type == ND_ADVERTISEMENT)
		return DROP;
	__builtin_memcpy(said, message.mac, sizeof(said));
	for (i = 0; i < ETH_ALEN / 2; i++)
		if (bpf_l4_csum_replace(skb, at + offsetof(struct neighbour, checksum), said[i], mac[i], 2))
			return DROP;
	if (bpf_skb_store_bytes(skb, at + offsetof(struct neighbour, mac), mac, sizeof(mac), 0))
		return DROP;
	return GO_ON;
}

/* On egress: held SYNs turn round, and arrive as if the wire had brought them now (datapath/bpf/holds.py).
 *
 * And the belt: nobody ever learns the interface's own MAC for a shared address, whatever the settings are.
 *
 * The host's own questions with such an address as their sender get the shared MAC; answers with any other one are
 * the kernel's and not our responder's, and are dropped.
 */
SEC("tc")
int vip_announce(struct __sk_buff *skb)
{
	if (skb->mark == RETURNING && is_ours(skb))
		return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return announce_arp(skb);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return announce_neighbour(skb);
	return GO_ON;
}
