/// Holds a value that cannot be copied, so that it can be optional and be tested for nil without being consumed.
package final class Owned<Value: ~Copyable> {
  package var value: Value
  package init(_ value: consuming Value) { self.value = value }
}
