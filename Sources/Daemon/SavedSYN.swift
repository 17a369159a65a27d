import CLinux
import Platform

/// Whether a connection began with a SYN that this host kept (`TCP_SAVE_SYN` on its listener).
///
/// One that did not rests on a SYN cookie, and so on nothing but the number in its ACK. Whoever sends ACKs in somebody else's name hits a
/// cookie once in 2^29 (24 bits of hash, 8 values of MSS and time): hours of work at the rate that a host can check them.
enum SavedSYN {
  static func isThere(_ connection: Int32) -> Bool {
    var none: UInt8 = 0
    var length: socklen_t = 0
    // No room for it: the kernel says so where there is one (EINVAL), and has nothing to say where there is none.
    return unsafe getsockopt(connection, Int32(IPPROTO_TCP), TCP_SAVED_SYN, &none, &length) < 0
  }
}
