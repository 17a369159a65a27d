import CLinux

/// A ring into which eBPF programs write and from which we read, mapped into our memory (`BPF_MAP_TYPE_RINGBUF`, kernel 5.8).
///
/// All records have one length, a power of two with the kernel's header of eight bytes, so that none is cut in two at the end.
@safe
package struct BPFRing: ~Copyable {
  private static let headerSize = 8
  private let map: BPFMap
  private let recordSize: Int
  private let size: Int
  private let page: Int
  // The mappings live as long as the ring and are unmapped with it; nothing else holds the pointers.
  /// Where we say how far we have read.
  private let consumer: UnsafeMutableRawPointer
  /// Where the kernel says how far is written; one page further on begin the records.
  private let producer: UnsafeMutableRawPointer
  /// Counts on, through all rounds.
  private var position: UInt64 = 0

  /// - Parameters:
  ///   - records: how many it holds while we are busy; a power of two.
  ///   - recordSize: what programs reserve for each, and eight more are a power of two.
  package init(records: Int, recordSize: Int) throws(Errno) {
    let size = records * (recordSize + Self.headerSize)
    let page = sysconf(Int32(_SC_PAGESIZE))
    precondition(size.nonzeroBitCount == 1 && size % page == 0)
    let map = try BPFMap(BPF_MAP_TYPE_RINGBUF, key: 0, value: 0, entries: size, name: "ring of packets")
    let consumer = unsafe try Self.map(map.descriptor, page, PROT_READ | PROT_WRITE, at: 0)
    let producer: UnsafeMutableRawPointer
    do throws(Errno) {
      unsafe producer = try Self.map(map.descriptor, page + size, PROT_READ, at: page)
    } catch {
      unsafe munmap(consumer, page)
      throw error
    }
    self.map = map
    self.recordSize = recordSize
    self.size = size
    self.page = page
    unsafe self.consumer = unsafe consumer
    unsafe self.producer = unsafe producer
  }

  deinit {
    unsafe munmap(consumer, page)
    unsafe munmap(producer, page + size)
  }

  private static func map(
    _ file: Int32, _ length: Int, _ protection: Int32, at offset: Int
  ) throws(Errno) -> UnsafeMutableRawPointer {
    let mapped = unsafe mmap(nil, length, protection, MAP_SHARED, file, offset)
    guard let address = unsafe mapped, Int(bitPattern: address) != -1 else { throw Errno.last("mmap", "ring") }
    return unsafe address
  }

  /// Readable when a record is there; what programs write into.
  package var descriptor: Int32 { map.descriptor }

  /// Lends the next record, and gives its place back to the kernel afterwards.
  ///
  /// - Returns: false when there is none.
  package mutating func next(_ body: (RawSpan) -> Void) -> Bool {
    // linux/bpf.h: the length, and in its two highest bits whether the record is being written, or to be passed over.
    let busy: UInt32 = 1 << 31
    let discarded: UInt32 = 1 << 30
    while unsafe CLinux_load_acquire_u64(producer) > position {
      let start = unsafe producer + page + Int(position & UInt64(size - 1))
      let header = unsafe CLinux_load_acquire_u32(start)
      // Its end will make us readable.
      if header & busy != 0 { return false }
      let isThere = header & discarded == 0
      if isThere {
        body(unsafe RawSpan(_unsafeStart: UnsafeRawPointer(start + Self.headerSize), byteCount: recordSize))
      }
      position &+= UInt64(recordSize + Self.headerSize)
      unsafe CLinux_store_release_u64(consumer, position)
      if isThere { return true }
    }
    return false
  }
}
