import CLinux
import Capture
import Platform
import Response
import Synchronization
import Wire

/// What the decoy's thread and the main thread share.
final class DecoyLink: Sendable {
  struct Settings: Sendable, Equatable {
    /// PORT_BANNER; nil for what a service would say.
    var banner: String?
    /// DECOY_TARPIT.
    var holds = false
    /// Whether anybody wants to know who speaks as a browser.
    var hears = false
  }

  struct Statistics: Sendable, Equatable {
    /// Connections completed since the start.
    var completed: UInt64 = 0
    /// Open at this moment.
    var held = 0
    /// Closed before their time to make room.
    var displaced: UInt64 = 0
  }

  struct Shared: Sendable {
    var settings = Settings()
    var isStopping = false
    /// Sources that were shut out: what is held of theirs is let go without a word.
    var dropped: [IPNetwork] = []
    var statistics = Statistics()
  }

  let shared = Mutex(Shared())
  let wake: EventFlag

  init() throws(Errno) { wake = try EventFlag() }

  func update(_ change: (inout Shared) -> Void) {
    shared.withLock { change(&$0) }
    wake.signal()
  }

  /// Lets go of what a source holds. More than a thousand unread are not kept: their connections end by themselves.
  func drop(_ network: IPNetwork) {
    update { if $0.dropped.count < 1000 { $0.dropped.append(network) } }
  }
}

/// The listeners behind every port that only seems to be open: `NFTablesTrap` steers connections here, and the kernel
/// keeps the address and port that they were meant for. On loopback, where nobody else gets by himself. One port a family, behind
/// which a group of listeners shares what is half open (`DecoyQueue`).
///
/// Until a connection is complete it costs what the kernel's own listeners cost, SYN cookies included. Then it is told to
/// the sentry, gets a greeting, and is held for a minute. What it sends is thrown away as fast as it comes, since a service takes it,
/// too (`DecoySink`). With `holds` it is held for an hour: the kernel does the holding, with a receive buffer of the smallest
/// size, and nothing is read. `capacity` connections are held in all, `perSource` of one address (IPv6: of one /64); when full
/// the oldest goes.
// One thread at a time owns a decoy: the main thread while it opens, then its own.
struct Decoy: ~Copyable, @unchecked Sendable {
  private struct Held {
    let source: IPNetwork
    let address: IPAddress
    let port: UInt16
    let deadline: Int64
    let serial: UInt64
    /// The client's first words are waited for.
    var awaits: Bool
    /// Nobody has looked yet whether they are a browser's.
    var isUnheard: Bool
  }

  static let capacity = 2_048
  static let perSource = 32

  private let epoll: FileDescriptor
  /// The listeners; the main thread may add others.
  let group: DecoyGroup
  /// UDP sockets that nothing is ever sent to: rules that drop hang on them (`NFTablesTrap`).
  private let anchors: [Int32]
  /// Where the trap has to steer.
  let v4: NFTablesTrap.Door?
  let v6: NFTablesTrap.Door?
  /// nil where it is not to be had, and then why.
  private let yield: PortYield?
  let yieldFailure: Errno?
  private let contacts: BoundedQueue<Contact>.Producer
  /// Sources that spoke as browsers, or left without a word.
  private let browsers: BoundedQueue<DecoyWord>.Producer
  private let link: DecoyLink
  private let sentry: SensorLink
  private var settings = DecoyLink.Settings()
  private var held: [Int32: Held] = [:]
  /// In the order in which they came; those gone by now are passed over.
  private var order: [(fd: Int32, serial: UInt64)] = []
  private var first = 0
  private var perSource: [IPNetwork: Int] = [:]
  private var serial: UInt64 = 0
  private var statistics = DecoyLink.Statistics()
  private var sink = DecoySink()

  /// Opens the listeners; nothing is steered to them yet.
  ///
  /// - Throws: where neither family can be listened on: no right (`EPERM`; it takes CAP_NET_ADMIN).
  static func open(
    contacts: consuming BoundedQueue<Contact>.Producer, browsers: consuming BoundedQueue<DecoyWord>.Producer,
    link: DecoyLink, sentry: SensorLink
  ) throws(Errno) -> Decoy {
    let epoll = FileDescriptor(owning: try check("epoll_create1") { epoll_create1(Int32(CLinux_EPOLL_CLOEXEC)) })
    var listeners: [Int32] = []
    var anchors: [Int32] = []
    var groups: [DecoyGroup.Door] = []
    let members = min(DecoyQueue.listeners(), DecoyQueue.few)
    var doors: [NFTablesTrap.Door?] = []
    var failure: Errno?
    for family in [AF_INET, AF_INET6] {
      do throws(Errno) {
        let udp = try transparent(family, CLinux_SOCK_DGRAM)
        var door: UInt16 = 0
        for _ in 0..<members {
          let tcp = try listener(family, port: door)
          door = try port(tcp)
          try watch(epoll.raw, tcp.raw, EPOLLIN.rawValue, isListener: true)
          listeners.append(tcp.release())
        }
        try FileDescriptor.attachChoice(DecoyQueue.dealOut(among: members), to: listeners[listeners.count - 1])
        groups.append(DecoyGroup.Door(family: family, port: door, members: members))
        doors.append(NFTablesTrap.Door(tcp: door, udp: try port(udp)))
        anchors.append(udp.release())
      } catch {
        // A host without IPv6 has no decoy there, and needs none.
        failure = failure ?? error
        doors.append(nil)
      }
    }
    guard let any = listeners.first else { throw failure ?? Errno(EAFNOSUPPORT, "socket") }
    try watch(epoll.raw, link.wake.fd, EPOLLIN.rawValue)
    var yield: PortYield?
    var yieldFailure: Errno?
    do throws(Errno) { yield = try PortYield.open(socket: any) } catch { yieldFailure = error }
    return Decoy(
      yield: yield, yieldFailure: yieldFailure,
      group: DecoyGroup(epoll: epoll.raw, doors: groups, listeners: listeners),
      epoll: epoll, anchors: anchors, v4: doors[0], v6: doors[1], contacts: contacts, browsers: browsers, link: link,
      sentry: sentry)
  }

  private init(
    yield: consuming PortYield?, yieldFailure: Errno?, group: DecoyGroup, epoll: consuming FileDescriptor,
    anchors: [Int32], v4: NFTablesTrap.Door?, v6: NFTablesTrap.Door?,
    contacts: consuming BoundedQueue<Contact>.Producer, browsers: consuming BoundedQueue<DecoyWord>.Producer,
    link: DecoyLink, sentry: SensorLink
  ) {
    self.yield = yield
    self.yieldFailure = yieldFailure
    self.group = group
    self.epoll = epoll
    self.anchors = anchors
    self.v4 = v4
    self.v6 = v6
    self.contacts = contacts
    self.browsers = browsers
    self.link = link
    self.sentry = sentry
  }

  deinit {
    for fd in group.listeners + anchors + held.keys { close(fd) }
  }

  /// One of the group that listens at a port; 0 for the first.
  static func listener(_ family: Int32, port: UInt16) throws(Errno) -> FileDescriptor {
    let file = try transparent(family, CLinux_SOCK_STREAM, port: port)
    try check("listen") { listen(file.raw, Int32(DecoyQueue.backlog)) }
    return file
  }

  /// A socket on loopback that may have connections which were meant for other addresses.
  private static func transparent(
    _ family: Int32, _ type: Int32, port: UInt16 = 0
  ) throws(Errno) -> FileDescriptor {
    let file = try FileDescriptor.socket(family, type | CLinux_SOCK_NONBLOCK, 0)
    // By this the sensor knows our SYN/ACKs from a service's.
    try file.setOption(SOL_SOCKET, SO_MARK, Int32(KernelFilter.decoyMark))
    if type == CLinux_SOCK_STREAM {
      // Its connections have it, too: a service may bind their port.
      try file.setOption(SOL_SOCKET, SO_REUSEADDR, 1)
      try file.setOption(SOL_SOCKET, SO_REUSEPORT, 1)
      // What came of a cookie has no SYN.
      try file.setOption(Int32(IPPROTO_TCP), TCP_SAVE_SYN, 1)
    }
    if family == AF_INET {
      try file.setOption(Int32(IPPROTO_IP), IP_TRANSPARENT, 1)
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      try check("bind", "127.0.0.1") {
        unsafe CLinux_bind(file.raw, &address, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    } else {
      try file.setOption(Int32(IPPROTO_IPV6), CLinux_IPV6_TRANSPARENT, 1)
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      unsafe address.sin6_addr.__in6_u.__u6_addr8.15 = 1
      try check("bind", "::1") {
        unsafe CLinux_bind(file.raw, &address, socklen_t(MemoryLayout<sockaddr_in6>.size))
      }
    }
    return file
  }

  private static func port(_ file: borrowing FileDescriptor) throws(Errno) -> UInt16 {
    var address = sockaddr_in6()
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    try check("getsockname") { unsafe CLinux_getsockname(file.raw, &address, &length) }
    return SocketAddress.endpoint(address)?.port ?? 0
  }

  /// Set in what epoll tells of a listener, beside its descriptor: there are many, and there may be more soon.
  private static let listens: UInt64 = 1 << 32

  static func watch(_ epoll: Int32, _ fd: Int32, _ events: UInt32, isListener: Bool = false) throws(Errno) {
    var event = unsafe epoll_event()
    unsafe event.events = events
    unsafe event.data.u64 = UInt64(fd) | (isListener ? listens : 0)
    try check("epoll_ctl") { unsafe epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) }
  }

  // MARK: The thread

  /// Runs until the link says stop.
  consuming func run() {
    var events = unsafe [epoll_event](repeating: epoll_event(), count: 64)
    var nextPublication: Int64 = 0
    while true {
      let count = unsafe epoll_wait(epoll.raw, &events, 64, held.isEmpty ? -1 : 1000)
      let ready = count > 0 ? unsafe events.prefix(Int(count)).map { unsafe ($0.data.u64, $0.events) } : []
      for (about, happened) in ready {
        let fd = Int32(truncatingIfNeeded: about)
        if fd == link.wake.fd {
          link.wake.clear()
          if obey() { return }
        } else if about & Self.listens != 0 {
          acceptAll(fd)
        } else {
          serve(fd, happened)
        }
      }
      expire()
      resume()
      let now = Clock.monotonic
      if now >= nextPublication || !ready.isEmpty {
        nextPublication = now + 1_000_000_000
        statistics.held = held.count
        let statistics = statistics
        link.shared.withLock { $0.statistics = statistics }
      }
    }
  }

  /// Takes over what the main thread wants; true when it wants us to end.
  private mutating func obey() -> Bool {
    let (settings, isStopping, dropped) = link.shared.withLock {
      let wish = ($0.settings, $0.isStopping, $0.dropped)
      $0.dropped = []
      return wish
    }
    self.settings = settings
    for network in dropped {
      for (fd, connection) in held where network.overlaps(connection.source) { letGo(fd, silently: true) }
    }
    return isStopping
  }

  /// At most 256 a call, so that the others are seen between them.
  private mutating func acceptAll(_ listener: Int32) {
    for count in 0..<256 {
      var peer = sockaddr_in6()
      var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
      let fd = unsafe CLinux_accept(listener, &peer, &length, CLinux_SOCK_NONBLOCK | CLinux_SOCK_CLOEXEC)
      if fd < 0 {
        // Out of descriptors: one that is held makes room, or nobody would be seen any more.
        if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(CLinux_errno()), displaceOldest() { continue }
        break
      }
      var local = sockaddr_in6()
      length = socklen_t(MemoryLayout<sockaddr_in6>.size)
      unsafe CLinux_getsockname(fd, &local, &length)
      guard let (source, sourcePort) = SocketAddress.endpoint(peer), let (target, port) = SocketAddress.endpoint(local),
        !target.isLoopback
      else {
        // A program of this host that found the listener itself.
        close(fd)
        continue
      }
      try? yield?.yield(port)
      contacts.push(
        Contact(
          time: Clock.now, source: source, sourcePort: sourcePort, target: target, port: port,
          isGuessable: !SavedSYN.isThere(fd)))
      // The sentry starts on the first while we take the rest.
      if count == 0 { sentry.toSentry.signal() }
      statistics.completed &+= 1
      greet(fd, source, port)
    }
    sentry.toSentry.signal()
  }

  private mutating func greet(_ fd: Int32, _ source: IPAddress, _ port: UInt16) {
    // Whatever a peer sends beyond this waits on his side. The window in our SYN/ACK was that of any service.
    if settings.holds { narrow(fd) }
    let opening =
      settings.banner.map { $0.preservedBytes }
      ?? DecoyGreeting.opening(port, random: (0..<28).map { _ in UInt8.random(in: 0...255) })
    if let opening { write(opening, to: fd) }
    let owner = source.isV4 ? IPNetwork(source) : IPNetwork(source, length: 64)!
    if perSource[owner, default: 0] >= Self.perSource {
      close(fd)
      statistics.displaced &+= 1
      return
    }
    if held.count >= Self.capacity { _ = displaceOldest() }
    // A tarpit listens for the end alone. EPOLLHUP and EPOLLERR always come.
    let awaits = opening == nil && !settings.holds
    let interest = EPOLLRDHUP.rawValue | (settings.holds && !settings.hears ? 0 : EPOLLIN.rawValue)
    guard (try? Self.watch(epoll.raw, fd, interest)) != nil else {
      close(fd)
      return
    }
    serial &+= 1
    let time: Int64 = settings.holds ? 3_600_000_000_000 : 60_000_000_000
    held[fd] = Held(
      source: owner, address: source, port: port, deadline: Clock.monotonic + time, serial: serial, awaits: awaits,
      isUnheard: settings.hears)
    order.append((fd, serial))
    if order.count - first > 4 * Self.capacity {
      order = order[first...].filter { held[$0.fd]?.serial == $0.serial }; first = 0
    }
    perSource[owner, default: 0] += 1
  }

  private func write(_ text: [UInt8], to fd: Int32) {
    unsafe text.withUnsafeBytes {
      _ = unsafe send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }
  }

  /// The client spoke, or left.
  private mutating func serve(_ fd: Int32, _ happened: UInt32) {
    guard let connection = held[fd] else { return }
    guard happened & EPOLLIN.rawValue != 0 else { return letGo(fd) }
    if connection.isUnheard {
      hear(fd)
      // In a tarpit nothing is taken.
      if settings.holds { return attend(fd, to: EPOLLRDHUP.rawValue) }
    }
    let count: Int
    if connection.awaits {
      var request = [UInt8](repeating: 0, count: 512)
      count = unsafe request.withUnsafeMutableBytes {
        unsafe recv(fd, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
      }
      if count > 0 {
        if let answer = DecoyGreeting.answer(connection.port, to: request[..<count]) {
          write(answer, to: fd)
          shutdown(fd, Int32(SHUT_WR))
        }
        held[fd]!.awaits = false
      }
    } else {
      let most = sink.allowance(at: Clock.monotonic)
      if most == 0 {
        // Others have used up this second. What comes meanwhile has to find little room.
        narrow(fd)
        sink.wait(fd, connection.serial)
        return attend(fd, to: EPOLLRDHUP.rawValue)
      }
      // With MSG_TRUNC the kernel throws away what it would have copied (tcp(7)).
      count = recv(fd, nil, most, Int32(MSG_DONTWAIT | MSG_TRUNC))
      if count > 0 { sink.spend(count) }
    }
    if count == 0 || count < 0 && ![EAGAIN, EINTR].contains(CLinux_errno()) { letGo(fd) }
  }

  /// Looks at a client's first words, and leaves them where they are.
  private mutating func hear(_ fd: Int32) {
    guard let source = held[fd]?.address else { return }
    var words = [UInt8](repeating: 0, count: BrowserWord.most)
    let count = unsafe words.withUnsafeMutableBytes {
      unsafe recv(fd, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT | MSG_PEEK))
    }
    guard count > 0 else { return }
    held[fd]!.isUnheard = false
    guard BrowserWord.isBrowsers(words[..<count]) else { return }
    browsers.push(DecoyWord(source: source, isBrowsers: true))
    sentry.toSentry.signal()
  }

  /// The next second has begun for those who waited for it.
  private mutating func resume() {
    for (fd, serial) in sink.resumed(at: Clock.monotonic) where held[fd]?.serial == serial {
      attend(fd, to: EPOLLRDHUP.rawValue | EPOLLIN.rawValue)
    }
  }

  private func attend(_ fd: Int32, to events: UInt32) {
    var event = unsafe epoll_event()
    unsafe event.events = events
    unsafe event.data.u64 = UInt64(fd)
    unsafe epoll_ctl(epoll.raw, EPOLL_CTL_MOD, fd, &event)
  }

  private func narrow(_ fd: Int32) {
    var smallest: Int32 = 0
    unsafe setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &smallest, 4)
  }

  private mutating func expire() {
    let now = Clock.monotonic
    while first < order.count {
      let (fd, serial) = order[first]
      if let connection = held[fd], connection.serial == serial {
        guard connection.deadline <= now else { break }
        letGo(fd)
      }
      first += 1
    }
    if first > 1024, first * 2 > order.count {
      order.removeFirst(first)
      first = 0
    }
  }

  private mutating func displaceOldest() -> Bool {
    while first < order.count {
      let (fd, serial) = order[first]
      first += 1
      guard held[fd]?.serial == serial else { continue }
      letGo(fd)
      statistics.displaced &+= 1
      return true
    }
    return false
  }

  /// Closes a connection.
  ///
  /// - Parameter silently: the peer hears nothing of it: he is shut out, and may go on waiting.
  private mutating func letGo(_ fd: Int32, silently: Bool = false) {
    guard let connection = held.removeValue(forKey: fd) else { return }
    let left = perSource[connection.source, default: 1] - 1
    perSource[connection.source] = left > 0 ? left : nil
    if connection.isUnheard, left <= 0, settings.hears, !silently {
      browsers.push(DecoyWord(source: connection.address, isBrowsers: false))
      sentry.toSentry.signal()
    }
    if silently {
      // A socket under repair is closed without FIN or RST (tcp_disconnect in the kernel).
      var on: Int32 = 1
      unsafe setsockopt(fd, Int32(IPPROTO_TCP), TCP_REPAIR, &on, 4)
    }
    close(fd)
  }
}
