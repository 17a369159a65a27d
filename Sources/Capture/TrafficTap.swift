import CLinux
import Platform
import Wire

/// Where the sensor has its packets from: programs at the interfaces where the kernel has them (tcx, 6.6), since an honest packet pays least for
/// these, and else a packet socket.
///
/// It begins with the packet socket, which is there at once and hears every interface. Then the programs are attached, which takes a while,
/// and from one moment on they are believed, and the socket is not. Interfaces that no program can be attached to, or that have no Ethernet
/// header, keep a packet socket. Where the programs do not go at all everything stays with it until we end.
package struct TrafficTap: ~Copyable {
  /// How what is watched is seen, for people.
  package struct Sight: Sendable, Equatable {
    /// Interfaces with programs, and those with a packet socket, by name.
    package var programs: [String] = []
    package var socket: [String] = []
    /// Why not all have programs.
    package var reason: String?

    package init() {}
  }

  /// More interfaces than these have no programs: each takes some 10 ms to attach and to let go.
  package static let mostInterfaces = 32

  private let frames: Int
  private var socket: Owned<PacketRing>?
  /// What the socket is fitted with.
  private var fitted: (filter: KernelFilter, interface: Int32)?
  private var programs: Owned<TapPrograms>?
  private var watched: [Interface] = []
  private var filter = KernelFilter()
  /// Whether the socket is bound, and programs may be attached.
  private var isStarted = false
  private var mayAttach = false
  /// Why there are no programs; nil while there may be.
  private var refusal: String?
  /// From when on programs are believed, and until when.
  private var believed = Timestamp.never..<Timestamp.never
  /// The interfaces that only the socket sees; nil: all of them.
  private var exclusive: Set<Int32>?
  /// How long to leave the filter as it is after it was changed, in nanoseconds: the kernel reads each program anew, which is to take a
  /// twentieth of our time at most.
  package private(set) var pause: Int64 = 0
  private var isSocketsTurn = true
  private var lastTime = Timestamp.distantPast
  /// Of sockets and programs that are no more.
  private var past = PacketRing.Statistics()
  private var skipped: UInt64 = 0
  package private(set) var statistics = PacketRing.Statistics()

  /// Opens the packet socket; nothing is received before `start`.
  ///
  /// - Parameters:
  ///   - frames: how many packets are held while we are busy; a power of two, 256 bytes each.
  ///   - usesPrograms: false for the packet socket alone.
  package init(frames: Int = 32_768, usesPrograms: Bool = true) throws(Errno) {
    self.frames = frames
    if !usesPrograms { refusal = "as asked for" }
    socket = Owned(try PacketRing(frames: frames))
  }

  // MARK: What is wanted

  /// Fits everything to what is wanted, and of which interfaces.
  ///
  /// - Parameter filter: for the packet socket as it is; programs leave out what it says of interfaces.
  package mutating func fit(_ filter: KernelFilter, watched: [Interface]) throws(Errno) {
    var before = self.filter
    var now = filter
    (before.interfaces, now.interfaces) = (.except([]), .except([]))
    self.filter = filter
    self.watched = watched
    if mayAttach, refusal == nil {
      do throws(Errno) {
        if programs == nil {
          programs = Owned(try TapPrograms(now, records: frames))
        } else if before != now {
          let begun = Clock.monotonic
          try programs!.value.exchange(now)
          pause = min(20 * (Clock.monotonic - begun), 1_000_000_000)
        }
        try programs!.value.attach(to: Set(attachable))
      } catch {
        refuse(error)
      }
    }
    try fitSocket()
  }

  /// Begins to receive. Programs are not attached yet: that takes a thread.
  package mutating func start() throws(Errno) {
    isStarted = true
    try socket?.value.start(on: fitted?.interface ?? 0)
  }

  /// Attaches programs, where they are to be had.
  package mutating func attachPrograms() throws(Errno) {
    mayAttach = true
    try fit(filter, watched: watched)
  }

  private var attachable: some Sequence<Int32> {
    watched.lazy.filter(\.hasEthernetHeader).map(\.index).prefix(Self.mostInterfaces)
  }

  /// There will be no programs.
  private mutating func refuse(_ error: Errno) {
    refusal =
      switch error.code {
      case EPERM, EACCES: "no right to eBPF (CAP_BPF)"
      case EINVAL: "this kernel has no programs at interfaces (6.6 and later have)"
      default: error.description
      }
    exclusive = nil
    believed = min(believed.lowerBound, Clock.now)..<Clock.now
    programs?.value.detach()
  }

  /// Fits the packet socket to what no program sees; without anything left it ends when it has been read.
  private mutating func fitSocket() throws(Errno) {
    guard let refused = programs?.value.refused, refusal == nil, believed.lowerBound < .never else {
      exclusive = nil
      return try fitSocket(filter, on: 0)
    }
    let attachable = Set(attachable)
    let rest = watched.map(\.index).filter { !attachable.contains($0) || refused[$0] != nil }
    exclusive = Set(rest)
    guard !rest.isEmpty else {
      fitted = nil
      return
    }
    var filter = filter
    filter.interfaces = .only(rest)
    try fitSocket(filter, on: rest.count == 1 ? rest[0] : 0)
  }

  private mutating func fitSocket(_ filter: KernelFilter, on interface: Int32) throws(Errno) {
    if let fitted, fitted.filter == filter, fitted.interface == interface { return }
    if socket == nil { socket = Owned(try PacketRing(frames: frames)) }
    try socket!.value.attach(filter)
    if isStarted, fitted?.interface != interface { try socket!.value.start(on: interface) }
    fitted = (filter, interface)
  }

  // MARK: What comes

  /// Readable when a packet is there, or programs have been attached.
  package var descriptors: [Int32] {
    var result: [Int32] = []
    if let descriptor = socket?.value.descriptor { result.append(descriptor) }
    if let descriptor = programs?.value.descriptor { result.append(descriptor) }
    if let news = programs?.value.news { result.append(news) }
    return result
  }

  /// Whether a packet is there, of those descriptors that are readable.
  package func hasPacket(_ ready: [Int32]) -> Bool {
    if let descriptor = socket?.value.descriptor, ready.contains(descriptor) { return true }
    if let descriptor = programs?.value.descriptor, ready.contains(descriptor) { return true }
    return false
  }

  /// Goes over to programs that have been attached since the last time.
  package mutating func settle(_ ready: [Int32]) throws(Errno) {
    guard let news = programs?.value.news, ready.contains(news) else { return }
    do throws(Errno) {
      guard try programs!.value.settle() else { return }
    } catch {
      refuse(error)
      return try fitSocket()
    }
    if programs!.value.isAttached {
      if believed.lowerBound == .never { believed = Clock.now..<Timestamp.never }
    } else if let error = programs!.value.refused.first?.value, believed.lowerBound == .never {
      refuse(error)
    }
    try fit(filter, watched: watched)
  }

  /// Lends the next packet, from its IP header on, and gives its place back to the kernel afterwards.
  ///
  /// - Returns: false when there is none.
  package mutating func next(_ body: (RawSpan, PacketRing.Frame) -> Void) -> Bool {
    // What the socket still has from before is older than what programs have.
    isSocketsTurn = !isSocketsTurn || fitted == nil
    if isSocketsTurn, nextOfSocket(body) { return true }
    if nextOfPrograms(body) { return true }
    return !isSocketsTurn && nextOfSocket(body)
  }

  private mutating func nextOfSocket(_ body: (RawSpan, PacketRing.Frame) -> Void) -> Bool {
    let (exclusive, believed) = (exclusive, believed)
    var lastTime = lastTime
    defer { self.lastTime = lastTime }
    while socket != nil {
      var isOurs = false
      let isThere = socket!.value.next { bytes, frame in
        isOurs = exclusive?.contains(frame.interface) ?? true || !believed.contains(frame.time)
        if isOurs { body(bytes, frame.inOrder(after: &lastTime)) }
      }
      if isOurs { return true }
      guard isThere else {
        if fitted == nil { endSocket() }
        return false
      }
      skipped &+= 1
    }
    return false
  }

  private mutating func endSocket() {
    socket!.value.updateStatistics()
    past.add(socket!.value.statistics)
    socket = nil
  }

  private mutating func nextOfPrograms(_ body: (RawSpan, PacketRing.Frame) -> Void) -> Bool {
    let believed = believed
    var lastTime = lastTime
    defer { self.lastTime = lastTime }
    while programs != nil {
      var isOurs = false
      let isThere = programs!.value.next { bytes, frame in
        isOurs = believed.contains(frame.time)
        if isOurs { body(bytes, frame.inOrder(after: &lastTime)) }
      }
      if isOurs { return true }
      guard isThere else {
        if refusal != nil { endPrograms() }
        return false
      }
      skipped &+= 1
    }
    return false
  }

  private mutating func endPrograms() {
    let dropped = programs!.value.dropped
    past.add(PacketRing.Statistics(received: programs!.value.taken + dropped, dropped: dropped))
    programs = nil
    believed = .never..<Timestamp.never
  }

  /// Reads the kernel's counters into `statistics`.
  package mutating func updateStatistics() {
    var sum = past
    if socket != nil {
      socket!.value.updateStatistics()
      sum.add(socket!.value.statistics)
    }
    if let taken = programs?.value.taken, let dropped = programs?.value.dropped {
      sum.add(PacketRing.Statistics(received: taken + dropped, dropped: dropped))
    }
    sum.received -= min(skipped, sum.received)
    statistics = sum
  }

  /// How what is watched is seen.
  package var sight: Sight {
    var sight = Sight()
    var isWaiting = programs != nil && exclusive == nil && refusal == nil
    for interface in watched where interface.isUp {
      if exclusive?.contains(interface.index) ?? true {
        sight.socket.append(interface.name)
      } else if programs?.value.isAttached(to: interface.index) ?? false {
        sight.programs.append(interface.name)
      } else {
        isWaiting = true
      }
    }
    sight.reason = isWaiting ? "programs are being attached" : sight.socket.isEmpty ? nil : reasonOfSome
    return sight
  }

  private var reasonOfSome: String? {
    if exclusive == nil { return refusal }
    if let error = programs?.value.refused.first?.value { return error.description }
    if watched.contains(where: { !$0.hasEthernetHeader }) { return "no Ethernet header" }
    return "more than \(Self.mostInterfaces) interfaces"
  }
}

extension Timestamp {
  /// After all others.
  fileprivate static var never: Timestamp { Timestamp(nanoseconds: .max) }
}

extension TrafficTap.Sight {
  /// In words.
  package var text: String {
    let words = reason.map { " (\($0))" } ?? ""
    if socket.isEmpty { return (programs.isEmpty ? "nothing" : "programs at the interfaces") + words }
    if programs.isEmpty { return "a packet socket\(words)" }
    return "programs; at \(socket.joined(separator: ", ")) a packet socket\(words)"
  }
}
