import CLinux
import Platform

/// How many listeners stand behind the decoys of a family, and how the kernel deals out among them what strangers leave half
/// open.
///
/// A listener whose queue of half-open connections is full answers with SYN cookies: without window scale, and once only. All
/// decoys share a queue, each service has its own; where the shared one is full and a service's is not, a half-open scan tells them apart.
/// So the shared one is large: as many listeners as a thirty-second of the memory can hold the queues of, `few` until somebody
/// leaves many half open. Which of them gets a SYN is left to chance, by a program of four instructions: by port, address or the
/// kernel's own hash a stranger could fill the one that answers him.
enum DecoyQueue {
  /// Half-open connections of one listener, and complete ones that are not yet taken; the kernel cuts this to `net.core.somaxconn`.
  static let backlog = 4_096
  /// Listeners of a family at most.
  static let most = 512
  /// Listeners of a family before there is need for more.
  static let few = 16
  /// Listeners at least, whatever the memory.
  static let least = 4
  /// What the kernel keeps of a half-open connection (`request_sock_TCP`, and its SYN).
  private static let entryBytes = 448

  /// How many listeners a family gets.
  ///
  /// - Parameters:
  ///   - memory: the host's, in bytes.
  ///   - longest: `net.core.somaxconn`.
  static func listeners(memory: UInt64, longest: Int) -> Int {
    let queue = UInt64(max(min(longest, backlog), 1))
    return Int(min(max(memory / 32 / (queue * UInt64(entryBytes)), UInt64(least)), UInt64(most)))
  }

  /// How many listeners a family gets here.
  static func listeners() -> Int {
    let pages = UInt64(max(sysconf(Int32(_SC_PHYS_PAGES)), 0))
    let page = UInt64(max(sysconf(Int32(_SC_PAGESIZE)), 0))
    let text = (try? Files.read("/proc/sys/net/core/somaxconn", limit: 32)) ?? []
    let longest = Int(String(decoding: text.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)) ?? backlog
    return listeners(memory: pages * page, longest: longest)
  }

  /// Whether the kernel answers each SYN with a cookie (`net.ipv4.tcp_syncookies`, for both families).
  static var alwaysSendsCookies: Bool {
    (try? Files.read("/proc/sys/net/ipv4/tcp_syncookies", limit: 32))?.first == UInt8(ascii: "2")
  }

  /// Leaves to chance which of so many listeners gets a packet.
  ///
  /// - Parameter first: the number of the first of them in the group.
  static func dealOut(among count: Int, from first: Int = 0) -> [sock_filter] {
    let chance = UInt32(bitPattern: SKF_AD_OFF + SKF_AD_RANDOM)
    return [
      sock_filter(code: UInt16(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k: chance),
      sock_filter(code: UInt16(BPF_ALU | BPF_MOD | BPF_K), jt: 0, jf: 0, k: UInt32(count)),
      sock_filter(code: UInt16(BPF_ALU | BPF_ADD | BPF_K), jt: 0, jf: 0, k: UInt32(first)),
      sock_filter(code: UInt16(BPF_RET | BPF_A), jt: 0, jf: 0, k: 0),
    ]
  }
}

/// Whether so many ask decoys that their queue has to be longer: more than `enough` within two minutes, of which half may be half open.
struct DecoyDemand {
  static let enough = 4_096
  /// A half-open connection lives 63 seconds.
  private static let span: Int64 = 64_000_000_000

  private var window = Int64.min
  private var before = 0
  private var current = 0

  /// So many more were seen, or lost.
  mutating func isHigh(adding count: Int, at now: Int64) -> Bool {
    if now / Self.span != window {
      before = now / Self.span - 1 == window ? current : 0
      (window, current) = (now / Self.span, 0)
    }
    current += count
    return before + current > Self.enough
  }
}
