import Wire

/// Frames of a capture file that are at hand, lent until the next run is wanted.
///
/// A plain pcap file comes in runs of thousands, which are walked here without a call for each; what is not plain comes one
/// by one.
public struct FrameRun: ~Escapable {
  @usableFromInline let bytes: RawSpan
  /// What the file says of the frame found last.
  public var frame: CaptureFile.Frame
  /// How many bytes were read: what `CaptureFile.nextRun` wants to know.
  public var consumed = 0
  @usableFromInline var start = 0
  @usableFromInline var count = 0
  @usableFromInline let scale: Int64
  /// The whole is one frame, that has no record header.
  @usableFromInline var isOne: Bool

  /// - Parameter records: plain pcap records, the last of which may be cut.
  @_lifetime(copy records)
  init(records: RawSpan, frame: CaptureFile.Frame, isNanosecond: Bool) {
    bytes = records
    self.frame = frame
    scale = isNanosecond ? 1 : 1000
    isOne = false
  }

  @_lifetime(copy one)
  init(one: RawSpan, frame: CaptureFile.Frame) {
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

  /// Goes on to the next frame; false at the end of the run.
  @inlinable @inline(__always)
  public mutating func next() -> Bool {
    if scale == 0 {
      // The file gives its bytes back itself.
      guard isOne else { return false }
      isOne = false
      count = bytes.byteCount
      return true
    }
    guard bytes.byteCount &- consumed >= 16 else { return false }
    let lengths = bytes.littlePair(at: consumed &+ 8)
    let captured = Int(truncatingIfNeeded: lengths & 0xffff_ffff)
    guard captured <= 262_144, bytes.byteCount &- consumed >= 16 &+ captured else { return false }
    let stamp = bytes.littlePair(at: consumed)
    frame.time = Timestamp(
      seconds: Int64(truncatingIfNeeded: stamp & 0xffff_ffff),
      nanoseconds: Int64(truncatingIfNeeded: stamp >> 32) &* scale)
    frame.originalLength = UInt32(truncatingIfNeeded: lengths >> 32)
    start = consumed &+ 16
    count = captured
    consumed = consumed &+ 16 &+ captured
    return true
  }
}
