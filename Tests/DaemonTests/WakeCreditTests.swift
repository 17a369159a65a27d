import Testing

@testable import Daemon

@Suite struct WakeCreditTests {
  @Test(arguments: [
    // Calls a second, for how many seconds, and how many of them may wake at once.
    (50, 10, 500), (100, 10, 1000), (1000, 1, 199), (1000, 10, 1099), (20_000, 10, 1099),
  ])
  func `A hundred at once, and a hundred a second`(_ rate: Int, _ seconds: Int, _ expected: Int) {
    var credit = WakeCredit(at: 7)
    var allowed = 0
    for call in 0..<(rate * seconds) where credit.spend(at: 7 + Int64(call) * 1_000_000_000 / Int64(rate)) {
      allowed += 1
    }
    #expect(allowed == expected)
  }

  @Test func `What was not used does not add up`() {
    var credit = WakeCredit(at: 0)
    let later: Int64 = 3_600_000_000_000
    let allowed = (0..<1000).count { _ in credit.spend(at: later) }
    #expect(allowed == 100)
  }
}
