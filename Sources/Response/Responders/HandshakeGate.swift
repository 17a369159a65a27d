import CLinux
import Platform
import Wire

/// Shuts a source out in the kernel, within the packet that completes its handshake with a decoy, for the moments until
/// the block itself is in force. Nothing that the source sends after that packet reaches a socket.
///
/// An nftables rule cannot do this: it sees the ACK before TCP has looked whether it acknowledges our number, and a forged
/// one must jail nobody. Two small eBPF programs can. One is run by TCP itself for every connection of ours that has been
/// established (`BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB`), after all checks; it writes down the peer of a decoy's. The other is
/// run for each packet on its way into a socket (control group, ingress), and drops those of a peer written down less than
/// two seconds ago. The sentry strikes the peer out again when the block is in force, or has been refused. It hangs there only
/// while somebody is wanted, or every contact is: every packet into a socket of this host pays for it. Both programs are gone with our
/// process.
///
/// Where it is not to be had (no cgroup2, no CAP_BPF, a kernel before 5.7) a block takes effect some tenths of a
/// millisecond later, and that is all.
package struct HandshakeGate: ~Copyable {
  /// Peers written down, the newest; the oldest goes for a new one. They stay for microseconds, two seconds at most.
  package static let capacity = 4_096
  /// Sources that wait only for their proof. Likewise.
  package static let wantedCapacity = 8_192

  private static let nanoseconds: Int32 = 2_000_000_000

  /// What has to stay open, and is not touched any more.
  private struct Kept: ~Copyable, Sendable {
    /// When the last peer was caught: so that a packet costs next to nothing while nobody was.
    let latest: BPFMap
    /// Hangs on the decoy's listeners, and is inherited by their connections.
    let mark: BPFMap
    let operations: FileDescriptor
    /// The program that drops, and the group it is put before.
    let guardian: FileDescriptor
    let root: FileDescriptor
  }

  /// Peer to the kernel's time at which it was written down.
  private let caught: BPFMap
  /// Sources whose proof is all that is missing.
  private let wanted: BPFMap
  /// One number: 1 where the first contact is the verdict.
  private let mode: BPFMap
  private let kept: Kept
  /// While it is open the second program is run for each packet into a socket: only as long as somebody may prove himself.
  private var ingress: FileDescriptor?
  private var catchesEverybody = false
  private var waiting = WantedSources(capacity: wantedCapacity)
  /// Whether only sockets of our own network namespace are closed to a peer.
  package let isScoped: Bool

  /// Loads and attaches both programs.
  ///
  /// - Parameter listeners: the decoy's.
  /// - Throws: the kernel's reason.
  package static func open(listeners: [Int32]) throws(Errno) -> HandshakeGate {
    let types = try BTFBlob()
    let caught = try BPFMap(BPF_MAP_TYPE_LRU_HASH, key: 16, value: 8, entries: capacity, name: "caught peers")
    let latest = try BPFMap(BPF_MAP_TYPE_ARRAY, key: 4, value: 8, entries: 1, name: "time of the last catch")
    let wanted = try BPFMap(BPF_MAP_TYPE_LRU_HASH, key: 16, value: 4, entries: wantedCapacity, name: "wanted peers")
    let mode = try BPFMap(BPF_MAP_TYPE_ARRAY, key: 4, value: 4, entries: 1, name: "mode")
    let mark = try BPFMap(
      BPF_MAP_TYPE_SK_STORAGE, key: 4, value: 4, entries: 0, flags: UInt32(BPF_F_NO_PREALLOC | BPF_F_CLONE),
      types: types.descriptor, name: "marks of sockets")
    for listener in listeners { try Self.mark(mark, listener) }
    // The whole host's: what a banned source reaches need not be in our group. In a container: the container's.
    let root = try controlGroups()
    // Ours alone: the decoy's listeners are in it, and no connection of a service's pays for this one.
    let own = try ownGroup(root)
    // Older kernels do not tell this program in which network namespace it runs. Then the same address is shut out of the
    // host's other namespaces, too, for those microseconds.
    let loaded: FileDescriptor
    var isScoped = true
    do throws(Errno) {
      loaded = try loadGuardian(caught, latest, namespace: try namespaceCookie(listeners[0]))
    } catch {
      isScoped = false
      loaded = try loadGuardian(caught, latest, namespace: nil)
    }
    let operations = try BPF.attach(
      try BPF.load(
        BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS,
        watcher(
          mark: mark.descriptor, mode: mode.descriptor, wanted: wanted.descriptor, caught: caught.descriptor,
          latest: latest.descriptor), name: "watcher"),
      to: own, BPF_CGROUP_SOCK_OPS)
    return HandshakeGate(
      caught: caught, wanted: wanted, mode: mode,
      kept: Kept(latest: latest, mark: mark, operations: operations, guardian: loaded, root: root),
      isScoped: isScoped)
  }

  private init(
    caught: consuming BPFMap, wanted: consuming BPFMap, mode: consuming BPFMap, kept: consuming Kept, isScoped: Bool
  ) {
    self.isScoped = isScoped
    self.caught = caught
    self.wanted = wanted
    self.mode = mode
    self.kept = kept
  }

  /// Further listeners of the decoy's.
  package func watch(_ listeners: [Int32]) throws(Errno) {
    for listener in listeners { try Self.mark(kept.mark, listener) }
  }

  private static func mark(_ marks: borrowing BPFMap, _ listener: Int32) throws(Errno) {
    try marks.set(listener.hostBytes, Int32(1).hostBytes)
  }

  /// Whether every contact is to be caught, or only that of `want`ed sources.
  package mutating func catchesAll(_ all: Bool) throws(Errno) {
    catchesEverybody = all
    try attach()
    try mode.set(Int32(0).hostBytes, Int32(all ? 1 : 0).hostBytes)
  }

  /// Only the proof of this source is missing.
  package mutating func want(_ source: IPAddress) throws(Errno) {
    // The kernel forgets the one wanted longest ago, and so do we.
    waiting.insert(source, at: Clock.monotonic)
    try attach()
    try wanted.set(source.mappedBytes, Int32(1).hostBytes)
  }

  /// The block is in force, or there is none to come.
  package mutating func release(_ source: IPAddress) throws(Errno) {
    waiting.remove(source)
    try caught.remove(source.mappedBytes)
    try wanted.remove(source.mappedBytes)
  }

  /// Puts the second program before the sockets, or takes it away, as it is needed.
  private mutating func attach() throws(Errno) {
    if !catchesEverybody && waiting.isEmpty {
      ingress = nil
    } else if ingress == nil {
      ingress = try BPF.attach(kept.guardian, to: kept.root, BPF_CGROUP_INET_INGRESS)
    }
  }

  /// Whether a packet into a socket pays for the gate.
  package var isAttached: Bool { ingress != nil }

  /// Lets packets pass without a look at the clock once nobody has been caught for three seconds, and without the program once nobody
  /// is wanted. To be called now and then.
  package mutating func rest() throws(Errno) {
    // A verdict is good for a proof for an hour.
    let now = Clock.monotonic
    for source in waiting.takeOlder(than: 3_600_000_000_000, at: now) { try wanted.remove(source.mappedBytes) }
    let zero = [UInt8](repeating: 0, count: 8)
    guard let last = kept.latest.value(Int32(0).hostBytes), last != zero,
      let time = last[...].value(at: 0, as: Int64.self), now - time > 3_000_000_000
    else { return try attach() }
    // Whoever is caught between reading and writing gets his block a moment later than otherwise.
    try kept.latest.set(Int32(0).hostBytes, zero)
    try attach()
  }

  /// Whether a source is shut out here.
  package func holds(_ source: IPAddress) -> Bool { caught.value(source.mappedBytes) != nil }

  private static func loadGuardian(
    _ caught: borrowing BPFMap, _ latest: borrowing BPFMap, namespace: UInt64?
  ) throws(Errno) -> FileDescriptor {
    try BPF.load(
      BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_INGRESS,
      guardian(caught: caught.descriptor, latest: latest.descriptor, namespace: namespace), name: "guardian")
  }

  /// The root of the version 2 hierarchy of control groups, where it is mounted, or else in a mount of our own that
  /// nobody sees (which takes CAP_SYS_ADMIN).
  static func controlGroups() throws(Errno) -> FileDescriptor {
    let bytes = try Files.read("/proc/self/mounts", limit: 4 << 20)
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      let words = line.split(separator: UInt8(ascii: " "))
      guard words.count > 2, words[2].elementsEqual("cgroup2".utf8) else { continue }
      return try FileDescriptor.open(String(decoding: words[1], as: UTF8.self), O_RDONLY | O_DIRECTORY)
    }
    return FileDescriptor(owning: try check("mount", "cgroup2") { unsafe CLinux_detached_mount("cgroup2") })
  }

  /// The control group of this process, in which its sockets are; the root again where that cannot be told.
  private static func ownGroup(_ root: borrowing FileDescriptor) throws(Errno) -> FileDescriptor {
    let folder = "/proc/self/fd/\(root.raw)/"
    let lines = try Files.read("/proc/self/cgroup", limit: 1 << 16).split(separator: UInt8(ascii: "\n"))
    // Of version 2 it says `0::/path` (cgroups(7)); a path that begins with /.. lies outside of what we see.
    if let line = lines.first(where: { $0.starts(with: "0::/".utf8) }), !line.starts(with: "0::/..".utf8) {
      let path = folder + String(decoding: line.dropFirst(4), as: UTF8.self)
      if let group = try? FileDescriptor.open(path, O_RDONLY | O_DIRECTORY) { return group }
    }
    return try FileDescriptor.open(folder, O_RDONLY | O_DIRECTORY)
  }

  // MARK: The programs

  /// The peer's address as 16 bytes below the end of the stack; IPv4 as ::ffff:a.b.c.d.
  private static let key: Int16 = -16
  private static let value: Int16 = -24
  private static let index: Int16 = -28

  /// Lays out the beginning of an IPv4 address's key.
  private static func putMapped(_ code: inout BPFProgram) {
    code.store(.double, .stack, key, value: 0)
    code.store(.word, .stack, key + 8, value: Int32(bitPattern: UInt32(0x0000_ffff).bigEndian))
  }

  /// `r1` = map, `r2` = address of the key on the stack.
  private static func look(_ code: inout BPFProgram, _ map: Int32, _ key: Int16) {
    code.move(.r2, .stack)
    code.add(.r2, Int32(key))
    code.loadMap(.r1, map)
    code.call(.mapLookup)
  }

  private static func watcher(mark: Int32, mode: Int32, wanted: Int32, caught: Int32, latest: Int32) -> BPFProgram {
    var code = BPFProgram()
    let end = code.label()
    code.move(.r6, .r1)
    // struct bpf_sock_ops: op at 0, family at 20, remote_ip4 at 24, remote_ip6 at 32.
    code.load(.word, .r1, .r6, 0)
    code.jump(.unequal, .r1, Int32(BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB), to: end)
    code.load(.double, .r2, .r6, Int16(CLinux_sock_ops_sk))
    code.jump(.equal, .r2, 0, to: end)
    code.loadMap(.r1, mark)
    code.move(.r3, 0)
    code.move(.r4, 0)
    code.call(.socketStorage)
    code.jump(.equal, .r0, 0, to: end)
    let v6 = code.label()
    let known = code.label()
    code.load(.word, .r1, .r6, 20)
    code.jump(.equal, .r1, AF_INET6, to: v6)
    putMapped(&code)
    code.load(.word, .r1, .r6, 24)
    code.store(.word, .stack, key + 12, .r1)
    code.jump(to: known)
    code.place(v6)
    for word: Int16 in 0..<4 {
      code.load(.word, .r1, .r6, 32 + 4 * word)
      code.store(.word, .stack, key + 4 * word, .r1)
    }
    code.place(known)
    let take = code.label()
    code.store(.word, .stack, index, value: 0)
    look(&code, mode, index)
    code.jump(.equal, .r0, 0, to: end)
    code.load(.word, .r1, .r0, 0)
    code.jump(.unequal, .r1, 0, to: take)
    look(&code, wanted, key)
    code.jump(.equal, .r0, 0, to: end)
    code.place(take)
    code.call(.time)
    code.move(.r7, .r0)
    code.store(.double, .stack, value, .r7)
    code.move(.r2, .stack)
    code.add(.r2, Int32(key))
    code.move(.r3, .stack)
    code.add(.r3, Int32(value))
    code.move(.r4, 0)
    code.loadMap(.r1, caught)
    code.call(.mapUpdate)
    look(&code, latest, index)
    code.jump(.equal, .r0, 0, to: end)
    code.store(.double, .r0, 0, .r7)
    code.place(end)
    code.move(.r0, 1)
    code.exit()
    return code
  }

  /// The kernel's number for the network namespace of a socket.
  static func namespaceCookie(_ socket: Int32) throws(Errno) -> UInt64 {
    var cookie: UInt64 = 0
    var length = socklen_t(8)
    try check("getsockopt", "SO_NETNS_COOKIE") {
      unsafe getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length)
    }
    return cookie
  }

  private static func guardian(caught: Int32, latest: Int32, namespace: UInt64?) -> BPFProgram {
    var code = BPFProgram()
    let pass = code.label()
    code.move(.r6, .r1)
    code.store(.word, .stack, index, value: 0)
    look(&code, latest, index)
    code.jump(.equal, .r0, 0, to: pass)
    code.load(.double, .r7, .r0, 0)
    code.jump(.equal, .r7, 0, to: pass)
    code.call(.time)
    code.move(.r8, .r0)
    code.subtract(.r0, .r7)
    code.jump(.above, .r0, nanoseconds, to: pass)
    if let namespace {
      code.move(.r1, .r6)
      code.call(.namespaceCookie)
      code.move(.r1, long: namespace)
      code.jump(.unequal, .r0, .r1, to: pass)
    }
    let v6 = code.label()
    let known = code.label()
    // struct __sk_buff: protocol at 16, in network byte order. The packet begins with its IP header.
    code.load(.word, .r1, .r6, 16)
    code.jump(.equal, .r1, Int32(UInt16(ETH_P_IPV6).bigEndian), to: v6)
    code.jump(.unequal, .r1, Int32(UInt16(ETH_P_IP).bigEndian), to: pass)
    putMapped(&code)
    readSource(&code, at: 12, length: 4, to: key + 12)
    code.jump(.unequal, .r0, 0, to: pass)
    code.jump(to: known)
    code.place(v6)
    readSource(&code, at: 8, length: 16, to: key)
    code.jump(.unequal, .r0, 0, to: pass)
    code.place(known)
    look(&code, caught, key)
    code.jump(.equal, .r0, 0, to: pass)
    code.load(.double, .r7, .r0, 0)
    code.subtract(.r8, .r7)
    code.jump(.above, .r8, nanoseconds, to: pass)
    code.move(.r0, 0)
    code.exit()
    code.place(pass)
    code.move(.r0, 1)
    code.exit()
    return code
  }

  private static func readSource(_ code: inout BPFProgram, at offset: Int32, length: Int32, to place: Int16) {
    code.move(.r1, .r6)
    code.move(.r2, offset)
    code.move(.r3, .stack)
    code.add(.r3, Int32(place))
    code.move(.r4, length)
    code.call(.loadPacketBytes)
  }
}

extension IPAddress {
  /// 16 bytes in network byte order; IPv4 as ::ffff:a.b.c.d.
  fileprivate var mappedBytes: [UInt8] { high.bigEndian.hostBytes + low.bigEndian.hostBytes }
}
