import Wire

/// Whether strangers reach the decoys, or something on this host drops their packets first. Pure: it is told what happened.
///
/// Test packets (`DecoyTest`) decide, where they can be made: they enter as a stranger's would and take the same way through
/// all rules. Without them the strangers' own packets decide. A single one says little: a firewall may drop its source alone,
/// and a forged source may be one to which no answer can leave.
package struct DecoySight: Sendable {
  /// A way by which strangers come.
  package struct Way: Hashable, Sendable {
    /// Empty where it is not known.
    package let interface: String
    package let isV4: Bool

    package init(_ interface: String, isV4: Bool) {
      self.interface = interface
      self.isV4 = isV4
    }
  }

  /// Where packets to decoys are lost.
  package enum Loss: Sendable, Equatable {
    /// Before our rules: a chain at an earlier hook or priority, or XDP.
    case early
    /// After our rules: a chain at the input hook.
    case late
    /// br_netfilter shows our rules the packet while it is the bridge's, and what they decide is lost.
    case bridge
    /// Strangers got no answer; there was no test.
    case untested
  }

  /// What became of the test packets of one way.
  package struct Round: Sendable, Equatable {
    package let sent: Int
    package let reached: Int
    /// Where they were lost; counts where none has arrived.
    package let loss: Loss

    package init(sent: Int, reached: Int, loss: Loss) {
      self.sent = sent
      self.reached = reached
      self.loss = loss
    }
  }

  /// A way on which decoys are hidden.
  package struct Obstacle: Sendable, Equatable {
    package let way: Way
    package let loss: Loss
    /// So many packets in a row did not arrive.
    package let packets: Int
  }

  private struct Test { var (misses, packets, loss) = (0, 0, Loss.late) }

  /// Strangers' touches of one family since the last that was answered.
  private struct Silence {
    var touches = 0
    /// The first few sources of them.
    var sources: [IPAddress] = []
  }

  /// Rounds in a row in which nothing arrived before decoys are called hidden: one may be lost in a flood.
  private static let roundsNeeded = 2
  /// Without tests: so many touches of so many sources, and not one answer.
  private static let (touchesNeeded, sourcesNeeded) = (8, 3)

  private var tests: [Way: Test] = [:]
  private var silence = (v4: Silence(), v6: Silence())
  /// Whether something happened that the last test does not explain.
  package private(set) var wantsTest = false

  package init() {}

  /// Takes the results of a round of tests: all ways there are. None at all: there can be no tests.
  package mutating func learn(_ rounds: [Way: Round]) {
    var next: [Way: Test] = [:]
    for (way, round) in rounds where round.sent > 0 {
      var test = tests[way] ?? Test()
      if round.reached > 0 {
        test = Test()
      } else {
        test.misses = min(test.misses + 1, Self.roundsNeeded)
        test.packets += round.sent
        test.loss = round.loss
      }
      next[way] = test
    }
    tests = next
    wantsTest = false
    if !next.isEmpty { silence = (Silence(), Silence()) }
  }

  /// Whether another round would say more about a way than is known.
  package var isUndecided: Bool { tests.values.contains { (1..<Self.roundsNeeded).contains($0.misses) } }

  /// A stranger touched a port that should have looked open.
  ///
  /// - Parameter isAnswered: whether a decoy answered.
  package mutating func touch(from source: IPAddress, isAnswered: Bool) {
    var state = source.isV4 ? silence.v4 : silence.v6
    if isAnswered {
      state = Silence()
      if tests.contains(where: { $0.key.isV4 == source.isV4 && $0.value.misses > 0 }) { wantsTest = true }
    } else {
      state.touches += 1
      if state.sources.count < Self.sourcesNeeded, !state.sources.contains(source) { state.sources.append(source) }
      if tests.contains(where: { $0.key.isV4 == source.isV4 && $0.value.misses < Self.roundsNeeded }) {
        wantsTest = true
      }
    }
    if source.isV4 { silence.v4 = state } else { silence.v6 = state }
  }

  /// Whether decoys are hidden on a way.
  package func isHidden(_ way: Way) -> Bool { (tests[way]?.misses ?? 0) >= Self.roundsNeeded }

  /// The ways on which decoys are hidden, in a fixed order.
  package var obstacles: [Obstacle] {
    var result = tests.filter { $0.value.misses >= Self.roundsNeeded }.map {
      Obstacle(way: $0.key, loss: $0.value.loss, packets: $0.value.packets)
    }
    if tests.isEmpty {
      for (isV4, state) in [(true, silence.v4), (false, silence.v6)]
      where state.touches >= Self.touchesNeeded && state.sources.count >= Self.sourcesNeeded {
        result.append(Obstacle(way: Way("", isV4: isV4), loss: .untested, packets: state.touches))
      }
    }
    return result.sorted { ($0.way.interface, $0.way.isV4 ? 4 : 6) < ($1.way.interface, $1.way.isV4 ? 4 : 6) }
  }
}
