/// The names of a fleet's keys in the engine.
package struct EngineKeys: Sendable {
  private let prefix: String

  package init(_ fleet: FleetID) { prefix = "ps:\(fleet.name):" }

  /// What a node says: its testimonies, and after a loss its certificate and the orders it knows. Only the node writes it.
  package func stream(of node: NodeNumber) -> String { "\(streams)\(node)" }
  /// What all of these begin with.
  package var streams: String { "\(prefix)n:" }
  /// Proofs, in the stream and as announcements over the channel of the same name. Coordinators write it.
  package var proofs: String { "\(prefix)d" }
  package var manifest: String { "\(prefix)snap" }
  package func chunk(_ index: Int) -> String { "\(prefix)snap:\(index)" }
  /// Certificates by number, a hash. The operator writes it; coordinators put back what was lost.
  package var certificates: String { "\(prefix)cert" }
  /// Orders, a stream. The operator writes it; coordinators put back what was lost.
  package var orders: String { "\(prefix)o" }
}
