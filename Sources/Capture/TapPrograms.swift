import CLinux
import Platform
import Synchronization
import Wire

/// Two programs, or what holds two of them at the sides of an interface: gone with it.
final class TapPair: Sendable {
  let incoming: FileDescriptor
  let outgoing: FileDescriptor

  init(incoming: consuming FileDescriptor, outgoing: consuming FileDescriptor) {
    self.incoming = incoming
    self.outgoing = outgoing
  }
}

/// Our programs at interfaces (tcx, kernel 6.6), and the ring into which they write what the filter wants. They end with our process.
///
/// To attach and to detach takes the kernel some 10 ms each, in which it holds up whoever asks for it: so a thread of its own does it.
struct TapPrograms: ~Copyable {
  /// What the thread has done.
  private final class Job: Sendable {
    let flag: EventFlag
    let attached = Mutex<[Int32: Result<TapPair, Errno>]?>(nil)

    init() throws(Errno) { flag = try EventFlag() }
  }

  private var ring: BPFRing
  private let lost: BPFMap
  private var programs: TapPair
  private var links: [Int32: TapPair] = [:]
  private let job: Job
  private var isWorking = false
  /// Interfaces that the kernel does not let us attach to, and why.
  private(set) var refused: [Int32: Errno] = [:]
  /// Packets that were lent.
  private(set) var taken: UInt64 = 0
  /// What is to be added to the programs' clock for the wall clock's time; nil: to be looked at anew.
  private var offset: Int64?

  /// Loads the programs for a filter. Nothing is attached yet.
  ///
  /// - Parameter records: how many packets the ring holds; a power of two, 256 bytes each.
  init(_ filter: KernelFilter, records: Int) throws(Errno) {
    let ring = try BPFRing(records: records, recordSize: TapProgram.Record.size)
    let lost = try BPFMap(BPF_MAP_TYPE_ARRAY, key: 4, value: 8, entries: 1, name: "packets lost")
    let job = try Job()
    programs = try Self.load(filter, ring.descriptor, lost.descriptor)
    self.ring = ring
    self.lost = lost
    self.job = job
  }

  private static func load(_ filter: KernelFilter, _ ring: Int32, _ lost: Int32) throws(Errno) -> TapPair {
    func program(_ isOutgoing: Bool) throws(Errno) -> FileDescriptor {
      let name = isOutgoing ? "outgoing" : "incoming"
      for limit in [80, 16] {
        // Our answers to probes are no probes: counted among what is lost they would make it more than was sent.
        guard
          let code = TapProgram.make(
            filter, isOutgoing: isOutgoing, ring: ring, lost: isOutgoing ? nil : lost, ranges: limit)
        else { continue }
        return try BPF.load(BPF_PROG_TYPE_SCHED_CLS, BPF_CGROUP_INET_INGRESS, code, name: name)
      }
      throw Errno(E2BIG, "bpf", name)
    }
    return TapPair(incoming: try program(false), outgoing: try program(true))
  }

  /// Puts programs for another filter in the place of those that are attached; each packet meets either the one or the other.
  mutating func exchange(_ filter: KernelFilter) throws(Errno) {
    programs = try Self.load(filter, ring.descriptor, lost.descriptor)
    for index in links.keys { try fitProgram(at: index) }
  }

  private mutating func fitProgram(at index: Int32) throws(Errno) {
    guard let link = links[index] else { return }
    do throws(Errno) {
      try BPF.replace(link.incoming, by: programs.incoming)
      try BPF.replace(link.outgoing, by: programs.outgoing)
    } catch {
      // The interface is gone.
      guard error.code == ENOLINK || error.code == ENODEV else { throw error }
      links[index] = nil
    }
  }

  // MARK: Where they are attached

  /// Has them attached to these interfaces and no others. `news` tells when it has been done.
  mutating func attach(to wanted: Set<Int32>) throws(Errno) {
    refused = refused.filter { wanted.contains($0.key) }
    guard !isWorking else { return }
    // An interface of before, or one that somebody has freed of us.
    for (index, link) in links where !wanted.contains(index) || !Self.isAttached(link, index) {
      unneeded.append(link)
      links[index] = nil
    }
    let missing = wanted.filter { links[$0] == nil && refused[$0] == nil }.sorted()
    guard !missing.isEmpty || !unneeded.isEmpty else { return }
    isWorking = true
    let (job, programs, old) = (job, programs, unneeded)
    unneeded = []
    do throws(Errno) {
      _ = try Thread.start(name: "attaching") { Self.work(job, programs, missing, detaching: old) }
    } catch {
      isWorking = false
      throw error
    }
  }

  /// Links to be let go of.
  private var unneeded: [TapPair] = []

  private static func isAttached(_ link: TapPair, _ index: Int32) -> Bool {
    func holds(_ file: borrowing FileDescriptor) -> Bool { (try? BPF.interface(of: file)) == index }
    return holds(link.incoming) && holds(link.outgoing)
  }

  private static func work(_ job: Job, _ programs: TapPair, _ missing: [Int32], detaching old: [TapPair]) {
    var found: [Int32: Result<TapPair, Errno>] = [:]
    for index in missing {
      found[index] = Result { () throws(Errno) in
        TapPair(
          incoming: try BPF.attach(programs.incoming, interface: index, outgoing: false),
          outgoing: try BPF.attach(programs.outgoing, interface: index, outgoing: true))
      }
    }
    job.attached.withLock { $0 = found }
    job.flag.signal()
    // Those that are no longer needed end with the last who knows them, which is this thread.
    _ = consume old
  }

  /// Readable when the thread has done what it was asked for.
  var news: Int32 { job.flag.fd }

  /// Takes over what the thread has attached.
  ///
  /// - Returns: whether it has come to its end since the last time.
  mutating func settle() throws(Errno) -> Bool {
    job.flag.clear()
    guard
      let found = job.attached.withLock({ attached in
        defer { attached = nil }
        return attached
      })
    else { return false }
    isWorking = false
    for (index, result) in found {
      switch result {
      case .success(let link):
        links[index] = link
        // The filter may be another one by now.
        try fitProgram(at: index)
      // Gone before we came to it.
      case .failure(let error) where error.code == ENODEV: break
      case .failure(let error): refused[index] = error
      }
    }
    return true
  }

  /// Lets go of all interfaces.
  mutating func detach() { links.removeAll() }

  var isAttached: Bool { !links.isEmpty }
  func isAttached(to index: Int32) -> Bool { links[index] != nil }

  // MARK: What they see

  /// Readable when a packet is there.
  var descriptor: Int32 { ring.descriptor }

  /// Packets that came and found the ring full.
  var dropped: UInt64 {
    lost.value(Int32(0).hostBytes)?[...].value(at: 0, as: UInt64.self) ?? 0
  }

  /// Lends the next packet, from its IP header on, and gives its place back afterwards.
  ///
  /// - Returns: false when the ring is empty.
  mutating func next(_ body: (RawSpan, PacketRing.Frame) -> Void) -> Bool {
    let offset = self.offset ?? Self.wallClockOffset()
    // A clock that is set is noticed the next time that the ring is empty.
    self.offset = offset
    let isThere = ring.next { record in
      func word(_ position: Int) -> UInt32 {
        unsafe record.unsafeLoad(fromByteOffset: position, as: UInt32.self)
      }
      let time = unsafe record.unsafeLoad(fromByteOffset: TapProgram.Record.time, as: Int64.self)
      let flags = word(TapProgram.Record.flags)
      let length = word(TapProgram.Record.length)
      let captured = min(Int(word(TapProgram.Record.captured)), record.byteCount - TapProgram.Record.packet)
      let frame = PacketRing.Frame(
        time: Timestamp(nanoseconds: time &+ offset),
        interface: Int32(bitPattern: word(TapProgram.Record.interface)),
        isOutgoing: flags & TapProgram.Record.outgoing != 0,
        checksumVouched: flags & TapProgram.Record.vouched != 0, mayBeUnfinished: true, isCut: captured < length)
      body(record.extracting(TapProgram.Record.packet..<TapProgram.Record.packet + captured), frame)
    }
    if isThere { taken &+= 1 } else { self.offset = nil }
    return isThere
  }

  /// The wall clock less the one that never jumps, of one moment as far as that can be told.
  private static func wallClockOffset() -> Int64 {
    var best: (width: Int64, offset: Int64) = (.max, 0)
    for _ in 0..<4 where best.width > 1_000 {
      let before = Clock.monotonic
      let wall = Clock.now.nanoseconds
      let after = Clock.monotonic
      if after - before < best.width { best = (after - before, wall - before - (after - before) / 2) }
    }
    return best.offset
  }
}
