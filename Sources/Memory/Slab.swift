import CLinux

/// A run of elements of fixed number in pages of their own: what the tables of the packet path are made of.
///
/// The kernel hands out the pages zeroed and only as they are touched, so a large slab costs what is used of it. All bytes
/// zero must be a valid element that means "empty". Not an array: an array in a structure asks at each write whether it
/// is shared.
///
/// The one place where the detector's memory is raw. Every access is bounds-checked. (Element types are not `private` to
/// their tables: with those Swift 6.3.1 makes debug builds that it then rejects.)
@safe
public struct Slab<Element: BitwiseCopyable>: ~Copyable, @unchecked Sendable {
  // Mapped for this slab alone, and unmapped with it; nothing else holds the pointer. It is sent whole to another thread
  // or not at all, as it cannot be copied.
  @usableFromInline let base: UnsafeMutablePointer<Element>
  public let count: Int

  /// - Parameter count: how many elements; at least 1. Traps when the kernel has no address space left for them.
  public init(count: Int) {
    precondition(count > 0)
    let bytes = count * MemoryLayout<Element>.stride
    let mapped = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let address = unsafe mapped, Int(bitPattern: address) != -1 else {
      preconditionFailure("no memory for \(bytes) bytes of a table")
    }
    // Fewer misses in the translation cache where tables are large and reads are random.
    if bytes >= 32 << 20 { unsafe CLinux_madvise_hugepage(address, bytes) }
    unsafe base = address.bindMemory(to: Element.self, capacity: count)
    self.count = count
  }

  deinit { unsafe munmap(base, count * MemoryLayout<Element>.stride) }

  @inlinable
  public subscript(index: Int) -> Element {
    @inline(__always)
    unsafeAddress {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
      return unsafe UnsafePointer(base + index)
    }
    @inline(__always)
    unsafeMutableAddress {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
      return unsafe base + index
    }
  }

  /// Makes all elements empty, and gives their pages back.
  public mutating func removeAll() {
    unsafe CLinux_madvise_dontneed(base, count * MemoryLayout<Element>.stride)
  }

  /// Begins to fetch an element that will be wanted soon.
  @inlinable @inline(__always)
  public func prefetch(_ index: Int) {
    precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
    unsafe CLinux_prefetch(base + index)
  }
}
