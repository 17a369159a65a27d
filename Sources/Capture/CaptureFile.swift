import CLinux
import Platform
import Wire

/// Why a file cannot be read at all.
package enum CaptureFileError: Error, Equatable, CustomStringConvertible {
  case cannotOpen(Errno)
  /// Neither pcap nor pcapng, compressed by gzip or not.
  case notACapture(String)

  package var description: String {
    switch self {
    case .cannotOpen(let error): "cannot read \(error.subject): \(error.reason)"
    case .notACapture(let path): "\(path) is neither pcap nor pcapng (gzip is understood, other compression is not)"
    }
  }
}

/// Reads a capture file, pcap or pcapng, compressed by gzip or not, and lends its frames one by one.
///
/// Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng. A damaged file is read as far as it goes; what was wrong
/// is counted. Memory is one window of fixed size, whatever the file claims.
public struct CaptureFile: ~Copyable {
  /// What the file says of a frame besides its bytes.
  // Public, as it is read for each frame in another module: see `IPAddress`.
  public struct Frame: Sendable, Equatable, BitwiseCopyable {
    public var time: Timestamp
    /// The LINKTYPE_ number, for `LinkLayer`.
    public var linkType: UInt32
    /// Bytes on the wire; more than were lent when the capture cut frames short.
    public var originalLength: UInt32
    /// By the file's own word; the link layer may know more.
    public var direction = LinkLayer.Direction.unknown
    /// The interface within the section of a pcapng file; 0 in pcap.
    public var interface: UInt32 = 0

    public init(
      time: Timestamp, linkType: UInt32, originalLength: UInt32, direction: LinkLayer.Direction = .unknown,
      interface: UInt32 = 0
    ) {
      self.time = time
      self.linkType = linkType
      self.originalLength = originalLength
      self.direction = direction
      self.interface = interface
    }
  }

  /// What may be wrong with a file.
  package enum Damage: UInt8, Sendable, CaseIterable {
    /// The file ends in the middle of a record; nothing comes after.
    case truncated
    /// A record claims more than `maximumFrame` bytes: it is skipped.
    case recordTooLong
    /// A block's length is below 12 or no multiple of 4: what comes after cannot be found.
    case badBlockLength
    /// A block's length at its end is another than at its start: the first is believed.
    case lengthsDisagree
    /// A section whose byte order is not given: what comes after cannot be read.
    case badByteOrder
    /// A block whose contents do not fit into it: it is skipped.
    case badBlock
    /// A frame of an interface that was not described: it is skipped.
    case unknownInterface
    /// More interfaces than `maximumInterfaces` in a section: frames of the rest are skipped.
    case tooManyInterfaces
    case compressedDataDamaged
    /// Something follows the compressed data.
    case trailingBytes
    /// The kernel could not read on.
    case readFailed

    package var reason: String {
      switch self {
      case .truncated: "ends in the middle of a record"
      case .recordTooLong: "record too long"
      case .badBlockLength: "impossible block length"
      case .lengthsDisagree: "two lengths of a block disagree"
      case .badByteOrder: "section of unknown byte order"
      case .badBlock: "contents larger than their block"
      case .unknownInterface: "frame of an undescribed interface"
      case .tooManyInterfaces: "too many interfaces"
      case .compressedDataDamaged: "compressed data damaged"
      case .trailingBytes: "bytes after the compressed data"
      case .readFailed: "read error"
      }
    }
  }

  /// libpcap's own bound for all links but D-Bus and USB.
  package static let maximumFrame = 262_144
  /// Hosts have some hundreds at most; a file could describe millions in 20 bytes each.
  package static let maximumInterfaces = 4096
  /// The largest block whose contents are read: a frame and its options.
  private static let maximumBlock = maximumFrame + 65_536

  private struct Interface {
    var linkType: UInt32
    var snapLength: UInt32
    var clock = FileClock()
  }

  private enum Format {
    case pcap
    case pcapng
  }

  private var stream: ByteStream
  private var format = Format.pcap
  /// Numbers are little-endian (in a pcapng file: in this section).
  private var isLittle = false
  private var recordHeader = 16
  private var isNanosecond = false
  private var linkType: UInt32 = 0
  /// pcap before 2.4 had the two lengths of a record the other way around.
  private var minorVersion: UInt16 = 4
  private var interfaces: [Interface] = []
  private var lastTime = Timestamp.distantPast
  private var damages = InlineArray<16, UInt64>(repeating: 0)
  private var isEnded = false
  /// pcap as nearly all files are: little-endian, 16 bytes before each frame.
  private var isPlain = false

  /// Opens the file at `path` and looks whether it is a capture.
  package init(path: String) throws(CaptureFileError) {
    try self.init(stream: Self.open(path), name: path)
  }

  private static func open(_ path: String) throws(CaptureFileError) -> ByteStream {
    var info = stat()
    do throws(Errno) {
      // O_NONBLOCK: a pipe that nobody writes to must not hold us up before it is refused.
      let file = try FileDescriptor.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
      try check("fstat", path) { unsafe fstat(file.raw, &info) }
      // A capture is read twice, so it has to be a file.
      guard info.st_mode & UInt32(S_IFMT) == UInt32(S_IFREG) else {
        throw Errno(info.st_mode & UInt32(S_IFMT) == UInt32(S_IFDIR) ? EISDIR : ESPIPE, "open", path)
      }
      return ByteStream(file: file, size: UInt64(clamping: info.st_size), capacity: 1 << 20)
    } catch {
      throw .cannotOpen(error)
    }
  }

  /// Reads a capture that is in memory: for tests and fuzzing.
  ///
  /// - Parameter window: how many bytes are held at a time; at least what the longest record needs.
  package init(bytes: [UInt8], window: Int = 1 << 20) throws(CaptureFileError) {
    try self.init(
      stream: ByteStream(memory: bytes, capacity: max(window, Self.maximumBlock)), name: "memory")
  }

  private init(stream: consuming ByteStream, name: String) throws(CaptureFileError) {
    self.stream = stream
    guard self.stream.ensure(12) else { throw .notACapture(name) }
    let magic = self.stream.bytes.u32(at: 0)
    let order = self.stream.bytes.u32(at: 8)
    if magic == 0x0a0d_0d0a {
      guard order == 0x1a2b_3c4d || order == 0x4d3c_2b1a else { throw .notACapture(name) }
      format = .pcapng
      return
    }
    isLittle = [0xd4c3_b2a1, 0x4d3c_b2a1, 0x34cd_b2a1].contains(magic)
    switch isLittle ? magic.byteSwapped : magic {
    case 0xa1b2_c3d4: break
    case 0xa1b2_3c4d: isNanosecond = true
    case 0xa1b2_cd34: recordHeader = 24  // Alexey Kuznetsov's, in old Linux distributions
    default: throw .notACapture(name)
    }
    guard self.stream.ensure(24) else { throw .notACapture(name) }
    minorVersion = u16(at: 6)
    // The upper six bits tell of checksums at the end of frames.
    linkType = u32(at: 20) & 0x03ff_ffff
    self.stream.advance(24)
    isPlain = isLittle && recordHeader == 16 && minorVersion >= 4
    frame.linkType = linkType
  }

  package var isCompressed: Bool { stream.isCompressed }
  /// Bytes of the file on disk.
  package var size: UInt64 { stream.size }
  /// Bytes taken from the file so far, compressed ones where it is compressed.
  package var consumed: UInt64 { stream.consumed }
  /// How much of the file was read, 0 to 1.
  package var part: Double { Double(consumed) / Double(max(size, 1)) }
  package func count(_ damage: Damage) -> UInt64 { damages[Int(damage.rawValue)] }
  /// Whether anything was wrong so far.
  package var isDamaged: Bool { Damage.allCases.contains { count($0) > 0 } }

  private var frame = Frame(time: .distantPast, linkType: 0, originalLength: 0)
  /// Where its bytes are in the window.
  private var offset = 0
  private var length = 0
  /// How much of the window the frame and what belongs to it takes: given back when the next one is wanted.
  private var taken = 0

  /// The next frames, as many as are at hand; nil at the end of what can be read.
  ///
  /// Not a closure that is handed each frame: what such a one changes is moved out of its place and back every time.
  ///
  /// - Parameter last: how many bytes of the last run were read (`FrameRun.consumed`); 0 the first time.
  @_lifetime(&self)
  package mutating func nextRun(after last: Int) -> FrameRun? {
    stream.advance(last &+ taken)
    taken = 0
    if isPlain, stream.ensure(16) {
      let length = 16 &+ Int(truncatingIfNeeded: stream.bytes.littlePair(at: 8) & 0xffff_ffff)
      if length <= 16 &+ Self.maximumFrame, stream.ensure(length) {
        return FrameRun(
          records: stream.bytes, frame: Frame(time: .distantPast, linkType: linkType, originalLength: 0),
          isNanosecond: isNanosecond)
      }
    }
    guard advanceCarefully() else { return nil }
    return FrameRun(one: stream.bytes.extracting(offset..<offset &+ length), frame: frame)
  }

  private mutating func advanceCarefully() -> Bool {
    guard !isEnded else { return false }
    let isThere = format == .pcap ? nextRecord() : nextFrameOfBlocks()
    if !isThere { isEnded = true }
    return isThere
  }

  /// Lends the next frame; false at the end of what can be read.
  ///
  /// For tests, and whoever reads but a few.
  package mutating func next(_ body: (RawSpan, Frame) -> Void) -> Bool {
    stream.advance(taken)
    taken = 0
    guard advanceCarefully() else { return false }
    body(stream.bytes.extracting(offset..<offset &+ length), frame)
    return true
  }

  private mutating func note(_ damage: Damage) { damages[Int(damage.rawValue)] &+= 1 }

  /// The stream cannot give what is wanted: says why, once.
  private mutating func end(inRecord: Bool) -> Bool {
    switch stream.problem {
    case .readFailed: note(.readFailed)
    case .compressedDataDamaged: note(.compressedDataDamaged)
    case .trailingBytes: note(.trailingBytes)
    case nil: break
    }
    if inRecord { note(.truncated) }
    return false
  }

  // MARK: Numbers

  private func u16(at offset: Int) -> UInt16 {
    let value = stream.bytes.u16(at: offset)
    return isLittle ? value.byteSwapped : value
  }

  private func u32(at offset: Int) -> UInt32 {
    let value = stream.bytes.u32(at: offset)
    return isLittle ? value.byteSwapped : value
  }

  // MARK: pcap

  private mutating func nextRecord() -> Bool {
    while true {
      guard stream.ensure(recordHeader) else { return end(inRecord: stream.available > 0) }
      var captured = u32(at: 8)
      var original = u32(at: 12)
      if minorVersion < 4, minorVersion < 3 || captured > original { swap(&captured, &original) }
      guard captured <= Self.maximumFrame else {
        note(.recordTooLong)
        guard stream.skip(UInt64(recordHeader) + UInt64(captured)) else { return end(inRecord: true) }
        continue
      }
      let length = recordHeader &+ Int(captured)
      guard stream.ensure(length) else { return end(inRecord: true) }
      let fraction = Int64(u32(at: 4))
      frame = Frame(
        time: Timestamp(seconds: Int64(u32(at: 0)), nanoseconds: isNanosecond ? fraction : fraction &* 1000),
        linkType: linkType, originalLength: original)
      if recordHeader == 24 {
        frame.direction = stream.bytes.u8(at: 22) == 4 ? .outgoing : .incoming
      }
      (offset, self.length) = (recordHeader, Int(captured))
      taken = length
      return true
    }
  }

  // MARK: pcapng

  private mutating func nextFrameOfBlocks() -> Bool {
    while true {
      guard stream.ensure(12) else { return end(inRecord: stream.available > 0) }
      let isSection = stream.bytes.u32(at: 0) == 0x0a0d_0d0a
      if isSection {
        switch stream.bytes.u32(at: 8) {
        case 0x1a2b_3c4d: isLittle = false
        case 0x4d3c_2b1a: isLittle = true
        default:
          note(.badByteOrder)
          return end(inRecord: false)
        }
        interfaces.removeAll(keepingCapacity: true)
      }
      let type = u32(at: 0)
      let length = u32(at: 4)
      guard length >= 12, length & 3 == 0 else {
        note(.badBlockLength)
        return end(inRecord: false)
      }
      // Interface description, packet (obsolete), simple packet, enhanced packet.
      guard !isSection, [1, 2, 3, 6].contains(type) else {
        guard stream.skip(UInt64(length)) else { return end(inRecord: true) }
        continue
      }
      guard length <= Self.maximumBlock else {
        note(.recordTooLong)
        // Its number is taken all the same, or frames would go to the wrong interface.
        if type == 1 { add(Interface(linkType: .max, snapLength: 0)) }
        guard stream.skip(UInt64(length)) else { return end(inRecord: true) }
        continue
      }
      guard stream.ensure(Int(length)) else { return end(inRecord: true) }
      if u32(at: Int(length) - 4) != length { note(.lengthsDisagree) }
      var isFrame = false
      // The block without its last length.
      let end = Int(length) - 4
      switch type {
      case 1: describeInterface(end)
      case 3: isFrame = simplePacket(end)
      default: isFrame = packet(end, isOld: type == 2)
      }
      if isFrame {
        taken = Int(length)
        return true
      }
      stream.advance(Int(length))
    }
  }

  private mutating func add(_ interface: Interface) {
    if interfaces.count < Self.maximumInterfaces { interfaces.append(interface) } else { note(.tooManyInterfaces) }
  }

  private mutating func describeInterface(_ end: Int) {
    guard end >= 16 else {
      note(.badBlock)
      return add(Interface(linkType: .max, snapLength: 0))
    }
    var interface = Interface(linkType: UInt32(u16(at: 8)), snapLength: u32(at: 12))
    var offset = 16
    while let (code, value) = option(&offset, end) {
      switch code {
      case 9 where value.count == 1: interface.clock.resolution = stream.bytes.u8(at: value.lowerBound)
      case 14 where value.count == 8:
        let bits = stream.bytes.u64(at: value.lowerBound)
        interface.clock.offset = Int64(bitPattern: isLittle ? bits.byteSwapped : bits)
      default: break
      }
    }
    add(interface)
  }

  /// The next option before `end`: its code and where its value is; nil at the end of the options or where they are cut.
  private func option(_ offset: inout Int, _ end: Int) -> (UInt16, Range<Int>)? {
    guard offset + 4 <= end else { return nil }
    let code = u16(at: offset)
    let length = Int(u16(at: offset + 2))
    let value = offset + 4..<offset + 4 + length
    guard code != 0, value.upperBound <= end else { return nil }
    offset = value.lowerBound + (length + 3) & ~3
    return (code, value)
  }

  /// Enhanced packet block, and the old packet block: they differ in how they number the interface.
  private mutating func packet(_ end: Int, isOld: Bool) -> Bool {
    guard end >= 28, Int(u32(at: 20)) <= min(end - 28, Self.maximumFrame) else {
      note(.badBlock)
      return false
    }
    let captured = Int(u32(at: 20))
    let number = isOld ? UInt32(u16(at: 8)) : u32(at: 8)
    guard number < UInt32(interfaces.count) else {
      note(.unknownInterface)
      return false
    }
    let interface = interfaces[Int(number)]
    let time = interface.clock.time(UInt64(u32(at: 12)) << 32 | UInt64(u32(at: 16)))
    lastTime = time
    frame = Frame(
      time: time, linkType: interface.linkType, originalLength: u32(at: 24), interface: number)
    var offset = 28 + (captured + 3) & ~3
    while let (code, value) = option(&offset, end) {
      // epb_flags, pack_flags: the last two bits are the direction.
      guard code == 2, value.count == 4 else { continue }
      switch u32(at: value.lowerBound) & 3 {
      case 1: frame.direction = .incoming
      case 2: frame.direction = .outgoing
      default: break
      }
    }
    (self.offset, length) = (28, captured)
    return true
  }

  /// Simple packet block: of interface 0, cut to its snap length, without a time. It gets that of the frame before it.
  private mutating func simplePacket(_ end: Int) -> Bool {
    guard end >= 12 else {
      note(.badBlock)
      return false
    }
    guard let interface = interfaces.first else {
      note(.unknownInterface)
      return false
    }
    let original = u32(at: 8)
    let limit = interface.snapLength == 0 ? UInt32.max : interface.snapLength
    guard min(original, limit) <= end - 12 else {
      note(.badBlock)
      return false
    }
    let captured = min(Int(min(original, limit)), Self.maximumFrame)
    (offset, length) = (12, captured)
    frame = Frame(time: lastTime, linkType: interface.linkType, originalLength: original)
    return true
  }
}

/// How an interface of a pcapng file counts time: `if_tsresol` and `if_tsoffset`.
struct FileClock: Equatable {
  /// Units are 10 to the power of minus this, or with the highest bit set 2 to the power of minus the rest.
  var resolution: UInt8 = 6
  /// Seconds to add.
  var offset: Int64 = 0

  /// `units` as a moment; what does not fit into 64 bits of nanoseconds is cut to what does.
  func time(_ units: UInt64) -> Timestamp {
    let exponent = Int(resolution & 0x7f)
    let (seconds, nanoseconds) =
      resolution & 0x80 != 0 ? Self.binary(units, exponent) : Self.decimal(units, exponent)
    let (total, isHuge) = Int64(clamping: seconds).addingReportingOverflow(offset)
    let limit: Int64 = 9_223_372_035
    guard !isHuge, (-limit...limit).contains(total) else {
      return Timestamp(seconds: offset < 0 ? -limit : limit)
    }
    return Timestamp(seconds: total, nanoseconds: Int64(nanoseconds))
  }

  private static func binary(_ units: UInt64, _ exponent: Int) -> (UInt64, UInt64) {
    guard exponent > 0 else { return (units, 0) }
    let fraction = exponent >= 64 ? units : units & (1 << UInt64(exponent) - 1)
    let product = fraction.multipliedFullWidth(by: 1_000_000_000)
    // The 128-bit product, shifted right; Swift's shifts by 64 and more give 0.
    let nanoseconds = product.high << (64 - exponent) | product.low >> exponent
    return (units >> exponent, nanoseconds)
  }

  private static func decimal(_ units: UInt64, _ exponent: Int) -> (UInt64, UInt64) {
    // 10 to the power of 19 is the largest that fits 64 bits.
    guard exponent <= 19 else { return (0, 0) }
    let perSecond = (0..<exponent).reduce(UInt64(1)) { power, _ in power * 10 }
    let (seconds, rest) = units.quotientAndRemainder(dividingBy: perSecond)
    let product = rest.multipliedFullWidth(by: 1_000_000_000)
    return (seconds, perSecond.dividingFullWidth(product).quotient)
  }
}
