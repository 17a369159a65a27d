import Synchronization

/// A queue from one thread to one other, without locks and of fixed size: what does not fit is counted, never waited for.
///
/// The two ends are separate values that cannot be copied, so that each has one owner.
package final class BoundedQueue<Element: BitwiseCopyable & Sendable>: Sendable {
  // Shared by the two ends. Each slot is written by the producer before `tail` passes it and read by the consumer
  // before `head` does, so no slot is touched by both at once.
  @safe
  fileprivate final class Storage: @unchecked Sendable {
    let slots: UnsafeMutableBufferPointer<Element>
    let head = Atomic<Int>(0)
    let tail = Atomic<Int>(0)
    let refused = Atomic<UInt64>(0)

    init(capacity: Int) { unsafe slots = .allocate(capacity: capacity) }
    deinit { unsafe slots.deallocate() }

    var capacity: Int { unsafe slots.count }
  }

  private let storage: Storage
  private let producers = Atomic<Int>(0)
  private let consumers = Atomic<Int>(0)

  /// - Parameter capacity: how many elements fit; at least 1.
  package init(capacity: Int) { storage = Storage(capacity: capacity) }

  /// The one writing end; a second call is a mistake in the program and traps.
  package func makeProducer() -> Producer {
    precondition(producers.wrappingAdd(1, ordering: .relaxed).newValue == 1, "a queue has one producer")
    return Producer(storage: storage)
  }

  /// The one reading end; a second call is a mistake in the program and traps.
  package func makeConsumer() -> Consumer {
    precondition(consumers.wrappingAdd(1, ordering: .relaxed).newValue == 1, "a queue has one consumer")
    return Consumer(storage: storage)
  }

  package struct Producer: ~Copyable, Sendable {
    fileprivate let storage: Storage

    /// Adds an element; false when the queue was full and the element is lost (and counted).
    @discardableResult
    package func push(_ element: Element) -> Bool {
      let tail = storage.tail.load(ordering: .relaxed)
      guard tail &- storage.head.load(ordering: .acquiring) < storage.capacity else {
        storage.refused.wrappingAdd(1, ordering: .relaxed)
        return false
      }
      unsafe storage.slots[tail % storage.capacity] = element
      storage.tail.store(tail &+ 1, ordering: .releasing)
      return true
    }
  }

  package struct Consumer: ~Copyable, Sendable {
    fileprivate let storage: Storage

    package func pop() -> Element? {
      let head = storage.head.load(ordering: .relaxed)
      guard head != storage.tail.load(ordering: .acquiring) else { return nil }
      let element = unsafe storage.slots[head % storage.capacity]
      storage.head.store(head &+ 1, ordering: .releasing)
      return element
    }

    /// How many elements are waiting.
    package var count: Int { storage.tail.load(ordering: .acquiring) &- storage.head.load(ordering: .relaxed) }

    /// How many elements found the queue full and are lost.
    package var refused: UInt64 { storage.refused.load(ordering: .relaxed) }
  }
}
