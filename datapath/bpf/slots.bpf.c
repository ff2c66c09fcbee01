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
#define DESTINATION_OPTIONS 60

#define ICMP_HEADER 8
#define ICMPV6_ERROR_MAX 127
#define TCP_UP_TO_FLAGS 14
#define EXTENSIONS_MAX 64
#define IPV4_FRAGMENT 0x3fff	/* more fragments, or an offset */
#define IPV4_OFFSET 0x1fff
#define IPV6_FRAGMENT_BITS 0xfff9	/* offset, or more to come; neither is an atomic fragment (RFC 6946) */

#define FIN_SYN_RST_ACK 0x17
#define SYN 0x02
#define SYN_NS 64000000000ULL	/* as long as a client repeats its SYN by default (tcp_syn_retries = 6) */
#define SYNS_MAX 65536

#define READS_MAX 4
#define IN_PLACE_MAX 255

/* include/net/tcp_states.h */
enum { TCP_SYN_RECV = 3, TCP_CLOSE = 7, TCP_LISTEN = 10, TCP_NEW_SYN_RECV = 12 };

/* datapath.engine.SlotState */
enum state { CLOSED = 0, OPEN = 1, DRAINING = 2, OPENING = 3 };

/* Beyond the states: packets that have none. */
enum { NOT_OURS = 16, UNPARSABLE = 17 };

/* datapath.bpf.tables.KINDS */
enum kind { SOURCEIP = 0, SOURCEIP_SOURCEPORT = 1, SOURCEIP_SOURCEPORT_DESTPORT = 2 };

/* datapath.bpf.tables.VERDICTS */
enum verdict { ACCEPTED = 0, FOREIGN = 1, EXPIRED = 2, WAS_DRAINING = 3, WAS_OPENING = 4, VERDICTS = 5 };

/* The maps are shared with datapath/bpf/tables.py; a change of their layout changes the digit in their names. */

struct control {
	__u64 deadline_ns;	/* CLOCK_BOOTTIME: the lease of the whole host */
	__u64 generation;
	__u64 slots_max;	/* of each half of vip1_slots */
	__u64 addresses_max;	/* of each half of vip1_addresses */
	__u64 made[60];	/* not read here: interfaces whose clsact is ours */
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
	__u8 padding;
	__u8 label[464];	/* not read here */
};

struct count {
	__u64 packets;
	__u64 bytes;
};

struct counts {
	struct count of[VERDICTS];
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
} vip1_control SEC(".maps");

/* Address → its number, by which vip1_addresses and vip1_refused know it.  Sizes here are least ones. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} vip1_index4 SEC(".maps");

struct in6 {
	__u32 words[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct in6);
	__type(value, __u32);
} vip1_index6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct address);
} vip1_addresses SEC(".maps");

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

/* What of an address cannot be parsed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct count);
} vip1_refused SEC(".maps");

/* SYNs that opening slots let in lately: with SYN cookies there is no socket until the client answers. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SYNS_MAX);
	__type(key, struct syn_key);
	__type(value, struct syn);
} vip1_syns SEC(".maps");

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
	__u8 by_ports;	/* a protocol with ports, which count if the address hashes by ports */
	__u8 for_source_port;	/* the source port could be read */
	__u8 for_both_ports;
	__u8 subject;
	__u8 flags;
	__u8 sound;
};

static __always_inline bool load(struct __sk_buff *skb, __u32 at, void *to, __u32 bytes)
{
	return bpf_skb_load_bytes(skb, ETH_HLEN + at, to, bytes) == 0;
}

/* Where `bytes` of the packet can be read in place; NULL where they are not in its linear part, or too far in. */
static __always_inline const void *in_place(struct __sk_buff *skb, __u32 at, __u32 bytes)
{
	const void *data = (const void *)(long)skb->data;
	const void *end = (const void *)(long)skb->data_end;

	if (at > IN_PLACE_MAX || data + ETH_HLEN + at + bytes > end)
		return NULL;
	return data + ETH_HLEN + at;
}

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == TCP || protocol == UDP || protocol == SCTP;
}

/* Each of the following returns whether the packet is sound; `end` is never beyond what has arrived. */

struct tcp_head {
	__u16 source;
	__u16 destination;
	__u32 sequence;
	__u32 acknowledged;
	__u8 offset;
	__u8 flags;
};

static __always_inline bool read_ports(struct __sk_buff *skb, __u8 protocol, __u32 at, __u32 end, struct packet *p)
{
	__u32 bytes = protocol == TCP && at + TCP_UP_TO_FLAGS <= end ? TCP_UP_TO_FLAGS : 4;
	struct tcp_head head;

	p->by_ports = 1;
	p->subject = protocol == TCP ? UNTOLD : NO_TCP;
	if (at + 4 > end) {
		if (at + 2 > end)
			return true;
		p->for_source_port = 1;
		return load(skb, at, &p->client_port, 2);
	}
	if (bytes == TCP_UP_TO_FLAGS) {
		if (!load(skb, at, &head, TCP_UP_TO_FLAGS))
			return false;
		p->subject = SEGMENT;
		p->sequence = bpf_ntohl(head.sequence);
		p->flags = head.flags;
	} else if (!load(skb, at, &head, 4)) {
		return false;
	}
	p->client_port = head.source;
	p->here_port = head.destination;
	p->for_source_port = p->for_both_ports = 1;
	return true;
}

/* A quote was sent by us: its destination is the client. */
static __always_inline bool read_quoted_ports(struct __sk_buff *skb, __u8 protocol, __u32 at, __u32 end,
					      struct packet *p)
{
	__u16 ports[2];

	p->by_ports = 1;
	p->subject = protocol == TCP ? UNTOLD : NO_TCP;
	if (at + 4 > end)
		return true;
	if (!load(skb, at, ports, 4))
		return false;
	p->here_port = ports[0];
	p->client_port = ports[1];
	p->for_source_port = p->for_both_ports = 1;
	if (protocol == TCP)
		p->subject = QUOTED;
	return true;
}

static __always_inline bool read_quote4(struct __sk_buff *skb, __u32 at, __u32 end, struct packet *p)
{
	struct iphdr quote;

	if (at + sizeof(quote) > end || !load(skb, at, &quote, sizeof(quote)))
		return false;
	if (quote.version != 4 || quote.ihl < 5)
		return false;
	p->client[0] = quote.daddr;
	p->here[0] = quote.saddr;
	if (quote.frag_off & bpf_htons(IPV4_OFFSET) || !has_ports(quote.protocol)) {
		p->subject = quote.protocol == TCP ? UNTOLD : NO_TCP;
		return true;
	}
	return read_quoted_ports(skb, quote.protocol, at + quote.ihl * 4, end, p);
}

static __always_inline bool read_quote6(struct __sk_buff *skb, __u32 at, __u32 end, struct packet *p)
{
	struct ipv6hdr quote;

	if (at + sizeof(quote) > end || !load(skb, at, &quote, sizeof(quote)))
		return false;
	if (quote.version != 6)
		return false;
	__builtin_memcpy(p->client, &quote.daddr, sizeof(p->client));
	__builtin_memcpy(p->here, &quote.saddr, sizeof(p->here));
	if (!has_ports(quote.nexthdr))
		return true;
	return read_quoted_ports(skb, quote.nexthdr, at + sizeof(quote), end, p);
}

static __always_inline bool is_icmp_error(__u8 type)
{
	/* unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792) */
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static __always_inline bool read_ipv4(struct __sk_buff *skb, const struct iphdr *ip, struct packet *p)
{
	__u32 header = ip->ihl * 4;
	__u32 end = bpf_ntohs(ip->tot_len);
	__u8 type;

	if (ip->version != 4)
		return false;
	if (!end && skb->gso_size)
		end = p->bytes;	/* merged beyond 64 KiB on arrival ("BIG TCP"): the field has no room for it */
	if (header < sizeof(*ip) || end < header || p->bytes < end)
		return false;
	if (ip->frag_off & bpf_htons(IPV4_FRAGMENT)) {
		p->subject = ip->protocol == TCP ? PIECE : NO_TCP;
		return true;
	}
	if (has_ports(ip->protocol))
		return read_ports(skb, ip->protocol, header, end, p);
	if (ip->protocol != ICMP)
		return true;
	if (header + ICMP_HEADER > end || !load(skb, header, &type, 1))
		return false;
	return is_icmp_error(type) ? read_quote4(skb, header + ICMP_HEADER, end, p) : true;
}

/* Of what upper_layer returns: where the header is, its protocol, and whether the packet is a fragment of it. */
#define UPPER_AT(found) ((found) & 0xfffff)
#define UPPER_PROTOCOL(found) ((found) >> 20 & 0xff)
#define UPPER_IS_FRAGMENT 0x10000000
#define UNSOUND (-1)

/* Behind the extension headers (RFC 8200).  A function of its own to the verifier, which then looks at the rest once
 * and not once for each number of headers.
 */
__noinline int upper_layer(struct __sk_buff *skb, __u32 protocol, __u32 end)
{
	__u32 at = sizeof(struct ipv6hdr);
	struct {
		__u8 protocol;
		__u8 units;
		__u16 fragment;
	} extension;
	int i;

	for (i = 0; i < EXTENSIONS_MAX; i++) {
		if (protocol == FRAGMENT) {
			if (at + 8 > end || !load(skb, at, &extension, 4))
				return UNSOUND;
			if (extension.fragment & bpf_htons(IPV6_FRAGMENT_BITS))
				return UPPER_IS_FRAGMENT | extension.protocol << 20;
			at += 8;
		} else if (protocol == HOP_BY_HOP || protocol == ROUTING || protocol == DESTINATION_OPTIONS) {
			if (at + 2 > end || !load(skb, at, &extension, 2))
				return UNSOUND;
			at += (extension.units + 1) * 8;
		} else {
			return (protocol & 0xff) << 20 | at;
		}
		protocol = extension.protocol;
		if (at > end)
			return UNSOUND;
	}
	return UNSOUND;
}

static __always_inline bool read_ipv6(struct __sk_buff *skb, const struct ipv6hdr *ip, struct packet *p)
{
	__u32 end = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	__u32 at = sizeof(*ip);
	__u8 protocol = ip->nexthdr;
	__u8 type;

	if (ip->version != 6)
		return false;
	if (!ip->payload_len && skb->gso_size)
		end = p->bytes;
	if (p->bytes < end)
		return false;
	if (!has_ports(protocol) && protocol != ICMPV6) {
		int found = upper_layer(skb, protocol, end);

		if (found < 0)
			return false;
		protocol = UPPER_PROTOCOL(found);
		if (found & UPPER_IS_FRAGMENT) {
			p->subject = protocol == TCP ? PIECE : NO_TCP;
			return true;
		}
		at = UPPER_AT(found);
	}
	if (has_ports(protocol))
		return read_ports(skb, protocol, at, end, p);
	if (protocol != ICMPV6)
		return true;
	if (at + ICMP_HEADER > end || !load(skb, at, &type, 1))
		return false;
	return type <= ICMPV6_ERROR_MAX ? read_quote6(skb, at + ICMP_HEADER, end, p) : true;
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

/* The slot of a packet; false where its ports are needed and cannot be read. */
static __always_inline bool find_slot(const struct packet *p, const struct address *address, __u32 *slot)
{
	/* the words of the key, then zeros: adding those changes nothing */
	__u32 key[6] = {};
	__u32 ports[2] = {};
	__u32 count = 0;

	if (address->kind != SOURCEIP && p->by_ports) {
		if (!p->for_source_port)
			return false;
		ports[0] = p->client_port;
		count = 1;
		if (address->kind == SOURCEIP_SOURCEPORT_DESTPORT) {
			if (!p->for_both_ports)
				return false;
			ports[1] = p->here_port;
			count = 2;
		}
	}
	key[0] = p->client[0];
	if (p->version == 4) {
		key[1] = ports[0];
		key[2] = ports[1];
		*slot = (__u64)jhash(key, 1 + count, false, address->seed) * address->slots >> 32;
	} else {
		key[1] = p->client[1];
		key[2] = p->client[2];
		key[3] = p->client[3];
		key[4] = ports[0];
		key[5] = ports[1];
		*slot = (__u64)jhash(key, 4 + count, true, address->seed) * address->slots >> 32;
	}
	return true;
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
		note_syn(p, index, now);
		return true;
	}
	sk = socket_state(skb, p);
	if (begins(p))
		return sk == TCP_SYN_RECV || sk == TCP_NEW_SYN_RECV;
	if (sk && sk != TCP_LISTEN && sk != TCP_CLOSE)
		return true;
	return state == OPENING && p->subject == SEGMENT && follows_syn(p, index, now);
}

static __always_inline void count_slot(const struct control *control, __u32 place, __u32 verdict, __u32 bytes)
{
	__u32 at = bpf_get_smp_processor_id() * control->slots_max + place;
	struct counts *counts = bpf_map_lookup_elem(&vip1_counts, &at);

	if (!counts || verdict >= VERDICTS)
		return;
	counts->of[verdict].packets += 1;
	counts->of[verdict].bytes += bytes;
}

static __always_inline void count_refused(const struct control *control, __u32 index, __u32 bytes)
{
	__u32 at = bpf_get_smp_processor_id() * control->addresses_max + index;
	struct count *count = bpf_map_lookup_elem(&vip1_refused, &at);

	if (!count)
		return;
	count->packets += 1;
	count->bytes += bytes;
}

static __always_inline __u64 generation_of(const struct control *control)
{
	return *(const volatile __u64 *)&control->generation;
}

/* State of the packet's slot, from one whole generation of the tables; `place` is the slot's place in them. */
static __always_inline __u32 find_state(const struct control *control, __u32 index, const struct packet *p,
					__u32 *place)
{
	int i;

	for (i = 0; i < READS_MAX; i++) {
		__u64 generation = generation_of(control);
		__u32 half = generation & 1;
		__u32 at = half * control->addresses_max + index;
		__u32 state = NOT_OURS;
		struct address *address = bpf_map_lookup_elem(&vip1_addresses, &at);
		__u32 slot = 0;

		if (!address)
			return NOT_OURS;
		if (address->used && address->version == p->version && address->ip[0] == p->to[0] &&
		    address->ip[1] == p->to[1] && address->ip[2] == p->to[2] && address->ip[3] == p->to[3]) {
			state = UNPARSABLE;
			if (p->sound && find_slot(p, address, &slot)) {
				__u64 *held;

				*place = address->first + slot;
				at = half * control->slots_max + *place;
				held = bpf_map_lookup_elem(&vip1_slots, &at);
				state = held ? (__u32)*held : CLOSED;
			}
		}
		if (generation_of(control) == generation)
			return state;
	}
	return UNPARSABLE;	/* it never was in force for long enough to judge by it */
}

/* A function of its own to the verifier: it looks at this once, and not once for each way to a packet. */
__noinline int judge(struct __sk_buff *skb, const struct packet *p, __u32 index)
{
	__u32 zero = 0, place = 0, state;
	struct control *control = bpf_map_lookup_elem(&vip1_control, &zero);
	__u64 now;

	if (!control || !p)
		return DROP;
	state = find_state(control, index, p, &place);
	if (state == NOT_OURS)
		return GO_ON;
	if (state == UNPARSABLE) {
		count_refused(control, index, p->bytes);
		return DROP;
	}
	if (state != OPEN && state != DRAINING && state != OPENING) {
		count_slot(control, place, FOREIGN, p->bytes);
		return DROP;
	}
	now = bpf_ktime_get_boot_ns();
	if (now >= *(const volatile __u64 *)&control->deadline_ns) {
		count_slot(control, place, EXPIRED, p->bytes);
		return DROP;
	}
	if (state != OPEN && !belongs(skb, p, state, index, now)) {
		count_slot(control, place, state == DRAINING ? WAS_DRAINING : WAS_OPENING, p->bytes);
		return DROP;
	}
	if (skb->pkt_type != PACKET_HOST && bpf_skb_change_type(skb, PACKET_HOST))
		return DROP;
	count_slot(control, place, ACCEPTED, p->bytes);
	return ACCEPT;
}

SEC("tc")
int vip_judge(struct __sk_buff *skb)
{
	struct packet p = {};
	__u32 *index;

	/* A tagged frame belongs to its VLAN's interface, which has a tc ingress of its own; id 0 is only a priority. */
	if (skb->vlan_present && skb->vlan_tci & VLAN_ID)
		return GO_ON;
	if (skb->len < ETH_HLEN)
		return GO_ON;
	p.bytes = skb->len - ETH_HLEN;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		const struct iphdr *ip = in_place(skb, 0, sizeof(*ip));
		struct iphdr copy;

		if (!ip) {
			if (!load(skb, 0, &copy, sizeof(copy)))
				return GO_ON;
			ip = &copy;
		}
		p.to[0] = ip->daddr;
		index = bpf_map_lookup_elem(&vip1_index4, p.to);
		if (!index)
			return GO_ON;
		p.version = 4;
		p.client[0] = ip->saddr;
		p.here[0] = ip->daddr;
		p.sound = read_ipv4(skb, ip, &p);
		return judge(skb, &p, *index);
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (!load(skb, 0, &ip, sizeof(ip)))
			return GO_ON;
		__builtin_memcpy(p.to, &ip.daddr, sizeof(p.to));
		index = bpf_map_lookup_elem(&vip1_index6, p.to);
		if (!index)
			return GO_ON;
		p.version = 6;
		__builtin_memcpy(p.client, &ip.saddr, sizeof(p.client));
		__builtin_memcpy(p.here, p.to, sizeof(p.here));
		p.sound = read_ipv6(skb, &ip, &p);
		return judge(skb, &p, *index);
	}
	return GO_ON;
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

/* The belt, on egress: nobody ever learns the interface's own MAC for a shared address, whatever the settings are.
 *
 * The host's own questions with such an address as their sender get the shared MAC; answers with any other one are
 * the kernel's and not our responder's, and are dropped.
 */
SEC("tc")
int vip_announce(struct __sk_buff *skb)
{
	__u32 zero = 0, at;
	struct control *control;
	struct address *address;
	__u8 mac[ETH_ALEN];
	__u8 difference = 0;
	struct arp arp;
	__u32 *index;
	int i;

	if (skb->protocol != bpf_htons(ETH_P_ARP) || !load(skb, 0, &arp, sizeof(arp)))
		return GO_ON;
	if (arp.protocol != bpf_htons(ETH_P_IP) || arp.hardware_bytes != ETH_ALEN || arp.protocol_bytes != 4)
		return GO_ON;
	at = arp.sender;
	index = bpf_map_lookup_elem(&vip1_index4, &at);
	control = bpf_map_lookup_elem(&vip1_control, &zero);
	if (!index || !control)
		return GO_ON;
	at = (generation_of(control) & 1) * control->addresses_max + *index;
	address = bpf_map_lookup_elem(&vip1_addresses, &at);
	if (!address || !address->used || address->version != 4 || address->ip[0] != arp.sender)
		return GO_ON;
	__builtin_memcpy(mac, address->mac, sizeof(mac));
	for (i = 0; i < ETH_ALEN; i++)
		difference |= mac[i] ^ arp.sender_mac[i];
	if (!difference)
		return GO_ON;
	if (arp.operation != bpf_htons(ARP_REQUEST))
		return DROP;
	if (bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct arp, sender_mac), mac, sizeof(mac), 0))
		return DROP;
	return GO_ON;
}
