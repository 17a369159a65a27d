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
  @usableFromInline let start: UInt32
  @usableFromInline let first: UInt64
  @usableFromInline let second: UInt64
  @usableFromInline let third: UInt64
  @usableFromInline let numbers: UInt64
  @usableFromInline let control: UInt16

  /// - Parameter place: where the frame begins. 54 bytes of it must be there: this is not looked at again.
  @inlinable @inline(__always) @unsafe
  init(unchecked bytes: RawSpan, at place: Int) {
    unsafe start = bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place &+ 12, as: UInt32.self)
    unsafe first = bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place &+ 14, as: UInt64.self)
    unsafe second = bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place &+ 22, as: UInt64.self)
    unsafe third = bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place &+ 30, as: UInt64.self)
    unsafe numbers = bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place &+ 38, as: UInt64.self)
    unsafe control = bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: place &+ 46, as: UInt16.self)
  }

  /// Whether it is TCP over IPv4 without options, and whole.
  @inlinable public var isTCP: Bool {
    @inline(__always)
    get {
      // EtherType, version and header length; flags and fragment offset; protocol.
      start & UInt32(0xffff_ff00).bigEndian == UInt32(0x0800_4500).bigEndian && first & UInt64(0x3fff).bigEndian == 0
        && second & UInt64(0x00ff_0000_0000_0000).bigEndian == UInt64(0x0006_0000_0000_0000).bigEndian
    }
  }

  /// Whether it is from within a connection: ACK, and nothing else but PSH and FIN.
  @inlinable public var isWithinConnection: Bool {
    @inline(__always) get { isTCP && control & UInt16(0xf6).bigEndian == UInt16(0x10).bigEndian }
  }

  @inlinable public var source: UInt32 { @inline(__always) get { UInt32(truncatingIfNeeded: second.bigEndian) } }
  @inlinable public var target: UInt32 { @inline(__always) get { UInt32(truncatingIfNeeded: third).bigEndian } }
  @inlinable public var sourcePort: UInt16 {
    @inline(__always) get { UInt16(truncatingIfNeeded: third >> 32).bigEndian }
  }
  @inlinable public var targetPort: UInt16 {
    @inline(__always) get { UInt16(truncatingIfNeeded: third >> 48).bigEndian }
  }
  @inlinable public var sequence: UInt32 { @inline(__always) get { UInt32(truncatingIfNeeded: numbers).bigEndian } }
  @inlinable public var acknowledgment: UInt32 {
    @inline(__always) get { UInt32(truncatingIfNeeded: numbers >> 32).bigEndian }
  }
  @inlinable public var flags: TCPFlags {
    @inline(__always) get { TCPFlags(rawValue: UInt8(truncatingIfNeeded: control.bigEndian)) }
  }
  @inlinable public var isFinal: Bool { @inline(__always) get { control & UInt16(1).bigEndian != 0 } }
  @inlinable public var doesNotFragment: Bool { @inline(__always) get { first & UInt64(0x4000).bigEndian != 0 } }
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
      return options < 0 ? -1 : Int(first.bigEndian >> 32 & 0xffff) &- 40 &- options
    }
  }
  /// Whether the IPv4 header's checksum is right (RFC 1071; the order of bytes does not matter).
  @inlinable public var hasRightChecksum: Bool {
    @inline(__always)
    get {
      let low: UInt64 = 0xffff_ffff
      var sum = (first & low) &+ (first >> 32) &+ (second & low) &+ (second >> 32) &+ (third & low)
      sum = (sum & 0xffff) &+ (sum >> 16 & 0xffff) &+ (sum >> 32)
      sum = (sum & 0xffff) &+ (sum >> 16)
      return sum == 0xffff
    }
  }
}

/// Frames of a capture file that are at hand, lent until the next run is wanted.
///
/// A plain pcap file comes in runs of thousands, which are walked here without a call for each; what is not plain comes one
/// by one.
public struct FrameRun: ~Escapable {
  @usableFromInline let bytes: RawSpan
  /// What the file says of the frame found last.
  public var frame: FrameRecord
  /// How many bytes were read: what `CaptureFile.nextRun` wants to know. Never more than there are.
  public var consumed: Int { position }
  /// How many frames were found.
  public var frames: UInt64 { found }
  @usableFromInline var position = 0
  @usableFromInline var found: UInt64 = 0
  @usableFromInline var start = 0
  @usableFromInline var count = 0
  @usableFromInline let scale: Int64
  /// The whole is one frame, that has no record header.
  @usableFromInline var isOne: Bool

  /// - Parameter records: plain pcap records, the last of which may be cut.
  @_lifetime(copy records)
  public init(records: RawSpan, frame: FrameRecord, isNanosecond: Bool) {
    bytes = records
    self.frame = frame
    scale = isNanosecond ? 1 : 1000
    isOne = false
  }

  @_lifetime(copy one)
  public init(one: RawSpan, frame: FrameRecord) {
    bytes = one
    self.frame = frame
    scale = 0
    isOne = true
  }

  /// The bytes of the frame found last.
  @inlinable
  public var span: RawSpan {
    @_lifetime(copy self) @inline(__always)
    get { bytes.extracting(start..<start &+ count) }
  }

  /// The first bytes of the frame found last; nil where it is too short.
  @inlinable
  public var head: FrameHead? {
    @inline(__always)
    // `next` found all `count` bytes within the run.
    get { count >= 54 ? unsafe FrameHead(unchecked: bytes, at: start) : nil }
  }

  /// Goes on to the next frame; false at the end of the run.
  @inlinable @inline(__always)
  public mutating func next() -> Bool {
    if scale == 0 {
      // The file gives its bytes back itself.
      guard isOne else { return false }
      isOne = false
      count = bytes.byteCount
      found &+= 1
      return true
    }
    // Both lengths are looked at here, and once.
    let room = bytes.byteCount &- position &- 16
    guard room >= 0 else { return false }
    let (stamp, lengths) = unsafe (
      UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: position, as: UInt64.self)),
      UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: position &+ 8, as: UInt64.self))
    )
    let captured = Int(truncatingIfNeeded: lengths & 0xffff_ffff)
    guard captured <= min(room, 262_144) else { return false }
    frame.time = Timestamp(
      seconds: Int64(truncatingIfNeeded: stamp & 0xffff_ffff),
      nanoseconds: Int64(truncatingIfNeeded: stamp >> 32) &* scale)
    frame.originalLength = UInt32(truncatingIfNeeded: lengths >> 32)
    start = position &+ 16
    count = captured
    position = position &+ 16 &+ captured
    found &+= 1
    return true
  }
}
