// Package delay makes the way between some sessions and the fleet longer, for a while, without any right of the system: sessions connect
// to a proxy in place of a shard, and the proxy passes the bytes on, both ways, each some time after it came. It knows nothing of what
// they say.
//
// Package planted, the other proxy, is for tests of the checker: it reads every frame and holds single deliveries, and what follows one
// waits for it, so that its delays add up. A long way does not do that: a delayed byte does not delay the next one any further.
//
// A connection takes two open files of this process. RoomFor says how many fit.
package delay
