/// What a capture says of a frame besides its bytes.
public struct FrameRecord: Sendable, Equatable, BitwiseCopyable {
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

/// The first 54 bytes of an untagged Ethernet frame as numbers, as they are when it bears IPv4 without options, and TCP: what
/// has to be known of a packet to see that it tells nothing.
public struct FrameHead: BitwiseCopyable {
  // As they lie in the frame: each is turned only where its value is wanted.
  /// EtherType; version, header length, type of service, total length, identification.
  @usableFromInline let first: UInt64
  /// Flags and fragment offset, time to live, protocol, checksum; half of the source address.
  @usableFromInline let second: UInt64
  /// Source and target address.
  @usableFromInline let addresses: UInt64
  @usableFromInline let ports: UInt32
  @usableFromInline let numbers: UInt64
  /// Data offset and flags.
  @usableFromInline let control: UInt16

  /// - Parameter place: where the frame begins. 54 bytes of it must be there: this is not looked at again.
  @inlinable @inline(__always) @unsafe
  init(unchecked bytes: RawSpan, at place: Int) {
    unsafe first = bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place &+ 12, as: UInt64.self)
    unsafe second = bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place &+ 20, as: UInt64.self)
    unsafe addresses = bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place &+ 26, as: UInt64.self)
    unsafe ports = bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place &+ 34, as: UInt32.self)
    unsafe numbers = bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place &+ 38, as: UInt64.self)
    unsafe control = bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place &+ 46, as: UInt16.self)
  }

  /// What is otherwise than in a whole TCP packet over IPv4 without options: of EtherType, version and header length; of flags and
  /// fragment offset, and protocol. One look at the sum of it instead of one at each.
  @inlinable var odd: UInt64 {
    @inline(__always)
    get {
      (first ^ UInt64(0x0800_4500_0000_0000).bigEndian) & UInt64(0xffff_ff00_0000_0000).bigEndian
        | (second ^ UInt64(0x0000_0006_0000_0000).bigEndian) & UInt64(0x3fff_00ff_0000_0000).bigEndian
    }
  }

  @inlinable public var isTCP: Bool { @inline(__always) get { odd == 0 } }

  /// Whether it is from within a connection: ACK, and nothing else but PSH and FIN.
  @inlinable public var isWithinConnection: Bool {
    @inline(__always)
    get { odd | UInt64((control ^ UInt16(0x10).bigEndian) & UInt16(0xf6).bigEndian) == 0 }
  }

  /// Source and target as they lie in the frame: cheaper to compare with one that was turned.
  @inlinable public var rawSource: UInt32 { @inline(__always) get { UInt32(truncatingIfNeeded: addresses) } }
  @inlinable public var rawTarget: UInt32 { @inline(__always) get { UInt32(truncatingIfNeeded: addresses >> 32) } }
  @inlinable public var source: UInt32 { @inline(__always) get { rawSource.bigEndian } }
  @inlinable public var target: UInt32 { @inline(__always) get { rawTarget.bigEndian } }
  @inlinable public var sourcePort: UInt16 { @inline(__always) get { UInt16(truncatingIfNeeded: ports).bigEndian } }
  @inlinable public var targetPort: UInt16 {
    @inline(__always) get { UInt16(truncatingIfNeeded: ports >> 16).bigEndian }
  }
  @inlinable public var sequence: UInt32 { @inline(__always) get { UInt32(truncatingIfNeeded: numbers).bigEndian } }
  @inlinable public var acknowledgment: UInt32 {
    @inline(__always) get { UInt32(truncatingIfNeeded: numbers >> 32).bigEndian }
  }
  @inlinable public var flags: TCPFlags {
    @inline(__always) get { TCPFlags(rawValue: UInt8(truncatingIfNeeded: control.bigEndian)) }
  }
  @inlinable public var isFinal: Bool { @inline(__always) get { control & UInt16(1).bigEndian != 0 } }
  @inlinable public var doesNotFragment: Bool {
    @inline(__always) get { second & UInt64(0x4000_0000_0000_0000).bigEndian != 0 }
  }
  /// Sequence and acknowledgement number, one xor the other.
  @inlinable public var mixedNumbers: UInt32 { @inline(__always) get { sequence ^ acknowledgment } }
  /// Bytes of TCP options; negative where the header is impossibly short.
  @inlinable public var optionsLength: Int {
    @inline(__always) get { Int(control.bigEndian >> 10 & 0x3c) &- 20 }
  }
  /// Bytes of data, by the lengths in the headers; negative where those are impossible.
  @inlinable public var payloadLength: Int {
    @inline(__always)
    get {
      let options = optionsLength
      return options < 0 ? -1 : Int(first.bigEndian >> 16 & 0xffff) &- 40 &- options
    }
  }
  /// Whether the IPv4 header's checksum is right (RFC 1071; the order of bytes does not matter).
  @inlinable public var hasRightChecksum: Bool {
    @inline(__always)
    get {
      let low: UInt64 = 0xffff_ffff
      // Without the EtherType, and without the half of the address.
      let (a, b) = (first >> 16, second & 0xffff_ffff_ffff)
      var sum = (a & low) &+ (a >> 32) &+ (b & low) &+ (b >> 32) &+ (addresses & low) &+ (addresses >> 32)
      sum = (sum & 0xffff) &+ (sum >> 16 & 0xffff) &+ (sum >> 32)
      sum = (sum & 0xffff) &+ (sum >> 16)
      return sum == 0xffff
    }
  }
}

/// Frames of a capture file that are at hand, lent until the next run is wanted.
///
/// A plain pcap file comes in runs of thousands, which are walked here without a call for each; what is not plain comes one
/// by one. What is asked of a frame is read from its record only then: a walk that asks for little costs little.
public struct FrameRun: ~Escapable {
  @usableFromInline let bytes: RawSpan
  /// What all frames of the run have in common; of a single frame everything.
  @usableFromInline let common: FrameRecord
  /// Nanoseconds in a unit of the records' times; 0 for a single frame, that has no record header.
  @usableFromInline let scale: Int64
  /// Where the record of the frame found last begins, and where it ends: 16 bytes of header and the frame lie between, which
  /// `next` has made sure of.
  @usableFromInline var start = 0
  @usableFromInline var end = 0
  /// How many frames were found.
  public var frames: UInt64 { found }
  @usableFromInline var found: UInt64 = 0

  /// - Parameter records: plain pcap records, the last of which may be cut.
  @_lifetime(copy records)
  public init(records: RawSpan, common: FrameRecord, isNanosecond: Bool) {
    bytes = records
    self.common = common
    scale = isNanosecond ? 1 : 1000
  }

  @_lifetime(copy one)
  public init(one: RawSpan, frame: FrameRecord) {
    bytes = one
    common = frame
    scale = 0
  }

  /// How many bytes were read: what `CaptureFile.nextRun` wants to know.
  public var consumed: Int { scale == 0 ? 0 : end }

  /// Whether the frames are records of a plain file: Ethernet that does not tell a direction, as nearly all captures are.
  @inlinable public var isPlainEthernet: Bool {
    scale != 0 && common.linkType == 1 && common.direction == .unknown
  }

  @inlinable public var time: Timestamp {
    @inline(__always)
    get {
      if scale == 0 { return common.time }
      let stamp = stamp
      return Timestamp(
        seconds: Int64(truncatingIfNeeded: stamp >> 32),
        nanoseconds: Int64(truncatingIfNeeded: stamp & 0xffff_ffff) &* scale)
    }
  }

  /// The time of the record found last as one number that rises with it: seconds, and the unit's parts below.
  @inlinable public var stamp: UInt64 {
    @inline(__always)
    get {
      let word = UInt64(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: start, as: UInt64.self))
      return word << 32 | word >> 32
    }
  }

  /// The stamp of a moment, rounded up; of one that no record can have the largest.
  @inlinable
  public func stamp(at nanoseconds: Int64) -> UInt64 {
    guard nanoseconds > 0, scale > 0 else { return 0 }
    let (seconds, rest) = UInt64(nanoseconds).quotientAndRemainder(dividingBy: 1_000_000_000)
    guard seconds <= 0xffff_ffff else { return .max }
    return seconds << 32 &+ (rest &+ UInt64(scale) &- 1) / UInt64(scale)
  }

  /// What the file says of the frame found last.
  public var frame: FrameRecord {
    if scale == 0 { return common }
    var frame = common
    frame.time = time
    frame.originalLength = UInt32(truncatingIfNeeded: bytes.littlePair(at: start &+ 8) >> 32)
    return frame
  }

  /// The bytes of the frame found last.
  public var span: RawSpan {
    @_lifetime(copy self)
    get { scale == 0 ? bytes : bytes.extracting(start &+ 16..<end) }
  }

  /// The first bytes of the frame found last, of a run of records; nil where it is too short.
  @inlinable
  public var head: FrameHead? {
    @inline(__always)
    get { end &- start >= 16 &+ 54 ? unsafe FrameHead(unchecked: bytes, at: start &+ 16) : nil }
  }

  /// Goes on to the next frame; false at the end of the run.
  public mutating func next() -> Bool {
    if scale != 0 { return nextRecord() }
    // The file gives its bytes back itself.
    guard found == 0 else { return false }
    found = 1
    return true
  }

  /// Likewise, of a run of records.
  @inlinable @inline(__always)
  public mutating func nextRecord() -> Bool {
    // All lengths are looked at here, and once.
    let room = bytes.byteCount &- end &- 16
    guard room >= 0 else { return false }
    let captured = Int(
      UInt32(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: end &+ 8, as: UInt32.self)))
    guard captured <= room, captured <= 262_144 else { return false }
    start = end
    end = end &+ captured &+ 16
    found &+= 1
    return true
  }
}
