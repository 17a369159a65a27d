import Synchronization

/// Carries a value that cannot be copied into a thread, once.
final class Handover<Value: ~Copyable & Sendable>: Sendable {
  private let value: Mutex<Value?>

  init(_ value: consuming Value) { self.value = Mutex(consume value) }

  /// The value, for the first who asks.
  func take() -> Value? { value.withLock { $0.take() } }
}
