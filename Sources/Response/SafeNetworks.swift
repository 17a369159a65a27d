import Wire
package struct SafeNetworks: Sendable {
  package init() {}
  package func reason(protecting network: IPNetwork) -> String? { nil }
}
