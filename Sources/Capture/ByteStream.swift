import CLinux
import CZlib
import Platform
import Wire

/// The bytes of a file, inflated where they are gzip, through one window of fixed size: neither a compressed file that
/// inflates for ever nor a record that claims gigabytes takes more memory than the window.
@safe
struct ByteStream: ~Copyable {
  /// Why a stream ended before its bytes did.
  enum Problem {
    case readFailed
    case compressedDataDamaged
    /// Bytes after the last gzip member that are no gzip.
    case trailingBytes
  }

  /// Where bytes come from: a descriptor, or memory (tests and fuzzing).
  private let file: FileDescriptor?
  /// The descriptor's number; -1 for memory.
  private let descriptor: Int32
  private let memory: [UInt8]
  private var memoryPosition = 0

  // Both allocations live as long as the stream and are freed with it; nothing else holds the pointers. What is between
  // `start` and `end` is initialised.
  private let window: UnsafeMutableRawPointer
  let capacity: Int
  private var start = 0
  private var end = 0
  /// Bytes of the file on disk, or of the memory given.
  let size: UInt64
  /// Bytes taken from the file, for progress.
  private(set) var consumed: UInt64 = 0
  private var inflater: Inflater?
  private var isAtEnd = false
  private(set) var problem: Problem?
  var isCompressed: Bool { inflater != nil }

  init(file: consuming FileDescriptor, size: UInt64, capacity: Int) {
    self.size = size
    descriptor = file.raw
    self.file = consume file
    memory = []
    self.capacity = capacity
    unsafe window = .allocate(byteCount: capacity, alignment: 16)
    unwrapGzip()
  }

  init(memory: [UInt8], capacity: Int) {
    file = nil
    descriptor = -1
    size = UInt64(memory.count)
    self.memory = memory
    self.capacity = capacity
    unsafe window = .allocate(byteCount: capacity, alignment: 16)
    unwrapGzip()
  }

  deinit { unsafe window.deallocate() }

  /// The bytes at hand.
  var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(window + start), byteCount: end - start)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  var available: Int { end &- start }

  /// Whether `count` bytes are at hand, after reading on where they were not; false at the end of the stream.
  @inline(__always)
  mutating func ensure(_ count: Int) -> Bool { end &- start >= count || fetch(count) }

  private mutating func fetch(_ count: Int) -> Bool {
    guard count <= capacity else { return false }
    if start > 0 {
      unsafe window.copyMemory(from: window + start, byteCount: end - start)
      end -= start
      start = 0
    }
    while end < count, fill() {}
    return end >= count
  }

  /// Goes on by `count` bytes that are at hand.
  @inline(__always)
  mutating func advance(_ count: Int) { start = min(start &+ count, end) }

  /// Goes on by any number of bytes; false where the stream ends before.
  mutating func skip(_ count: UInt64) -> Bool {
    var rest = count
    while rest > UInt64(end - start) {
      rest -= UInt64(end - start)
      start = 0
      end = 0
      guard fill() else { return false }
    }
    start += Int(rest)
    return true
  }

  /// Adds at least one byte to the window, which must not be full; false at the end.
  private mutating func fill() -> Bool {
    guard !isAtEnd else { return false }
    let room = capacity - end
    let count: Int
    if inflater != nil {
      count = inflate(into: end, room)
    } else {
      count = unsafe read(window + end, room)
    }
    if count == 0 { isAtEnd = true }
    end += count
    return count > 0
  }

  /// Reads from file or memory; 0 at the end, or where reading fails.
  private mutating func read(_ target: UnsafeMutableRawPointer, _ room: Int) -> Int {
    var count = 0
    if descriptor >= 0 {
      do throws(Errno) {
        count = try check("read") { unsafe CLinux.read(descriptor, target, room) }
      } catch {
        problem = .readFailed
      }
    } else {
      count = min(room, memory.count - memoryPosition)
      unsafe memory.withUnsafeBytes {
        if count > 0 { unsafe target.copyMemory(from: $0.baseAddress! + memoryPosition, byteCount: count) }
      }
      memoryPosition += count
    }
    consumed += UInt64(count)
    return count
  }

  // MARK: gzip

  /// zlib's state. It must not move in memory, as zlib keeps a pointer to it.
  @safe
  private final class Inflater {
    static let inputSize = 1 << 17
    let stream: UnsafeMutablePointer<z_stream>
    let input: UnsafeMutablePointer<UInt8>
    /// Between two members (RFC 1952 section 2.2).
    var isBetween = false

    /// False where there was no memory for it.
    let isReady: Bool

    init() {
      unsafe stream = .allocate(capacity: 1)
      unsafe stream.initialize(to: z_stream())
      unsafe input = .allocate(capacity: Self.inputSize)
      unsafe input.initialize(repeating: 0, count: Self.inputSize)
      // On failure zlib holds nothing, and `inflateEnd` in `deinit` does nothing.
      isReady = unsafe CZlib_begin(stream) == Z_OK
    }

    deinit {
      unsafe inflateEnd(stream)
      unsafe stream.deallocate()
      unsafe input.deallocate()
    }
  }

  /// Looks at the first bytes: gzip is taken off once. What is inside is not asked again.
  private mutating func unwrapGzip() {
    // No more than what can become the inflater's first input.
    end = unsafe read(window, min(capacity, Inflater.inputSize))
    guard end >= 2, bytes.u16(at: 0) == 0x1f8b else { return }
    let made = Inflater()
    guard made.isReady else { return }
    let count = end
    unsafe made.input.update(from: window.assumingMemoryBound(to: UInt8.self), count: count)
    unsafe made.stream.pointee.next_in = made.input
    unsafe made.stream.pointee.avail_in = UInt32(count)
    end = 0
    inflater = made
  }

  /// Inflates into the window; 0 at the end of the last member, or where the data is damaged.
  private mutating func inflate(into offset: Int, _ room: Int) -> Int {
    guard let inflater else { return 0 }
    let stream = unsafe inflater.stream
    let input = unsafe inflater.input
    while true {
      if unsafe stream.pointee.avail_in == 0 {
        let count = unsafe read(UnsafeMutableRawPointer(input), Inflater.inputSize)
        // The end in the middle of a member shows as a truncated record to whoever reads.
        if count == 0 { return 0 }
        unsafe stream.pointee.next_in = input
        unsafe stream.pointee.avail_in = UInt32(count)
      }
      if inflater.isBetween {
        // Several members in a row are one text; anything else (zeros as padding, too) is not ours.
        guard unsafe stream.pointee.next_in[0] == 0x1f, unsafe inflateReset(stream) == Z_OK else {
          problem = .trailingBytes
          return 0
        }
        inflater.isBetween = false
      }
      unsafe stream.pointee.next_out = (window + offset).assumingMemoryBound(to: UInt8.self)
      unsafe stream.pointee.avail_out = UInt32(room)
      let result = unsafe CZlib.inflate(stream, Z_NO_FLUSH)
      let count = unsafe room - Int(stream.pointee.avail_out)
      switch result {
      case Z_STREAM_END: inflater.isBetween = true
      case Z_OK, Z_BUF_ERROR: break
      default:
        // What was inflated before the damage still counts; the next call ends here again.
        problem = .compressedDataDamaged
        if count == 0 { return 0 }
      }
      if count > 0 { return count }
    }
  }
}
