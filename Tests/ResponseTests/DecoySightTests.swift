import Response
import Testing
import Wire

@Suite("Whether strangers reach the decoys")
struct DecoySightTests {
  private static let v4 = DecoySight.Way("lan0", isV4: true)
  private static let v6 = DecoySight.Way("lan0", isV4: false)

  /// Something that happens.
  enum Step: Sendable {
    /// Of 4 test packets so many arrive, by IPv4 and IPv6.
    case test(Int, Int, DecoySight.Loss)
    /// There can be no tests.
    case noTest
    /// So many touches of so many sources that nothing answered.
    case silence(Int, from: Int, isV4: Bool)
    case answer(isV4: Bool)
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let steps: [Step]
    /// `lan0 4 late`, in words.
    let hidden: [String]
    var wantsTest = false
  }

  private static let cases = [
    Case(testDescription: "nothing is known", steps: [], hidden: []),
    Case(testDescription: "all arrive", steps: [.test(4, 4, .late), .test(4, 4, .late)], hidden: []),
    Case(testDescription: "some arrive", steps: [.test(1, 1, .late), .test(1, 1, .late)], hidden: []),
    Case(testDescription: "one round lost", steps: [.test(0, 4, .late)], hidden: []),
    Case(testDescription: "one round lost, then not", steps: [.test(0, 4, .late), .test(4, 4, .late)], hidden: []),
    Case(
      testDescription: "one round lost twice, not in a row",
      steps: [.test(0, 4, .late), .test(4, 4, .late), .test(0, 4, .late)], hidden: []),
    Case(
      testDescription: "one family", steps: [.test(0, 4, .late), .test(0, 4, .late)], hidden: ["lan0 4 late 8"]),
    Case(
      testDescription: "both families, early", steps: [.test(0, 0, .early), .test(0, 0, .early)],
      hidden: ["lan0 4 early 8", "lan0 6 early 8"]),
    Case(
      testDescription: "a bridge", steps: [.test(4, 0, .bridge), .test(4, 0, .bridge), .test(4, 0, .bridge)],
      hidden: ["lan0 6 bridge 12"]),
    Case(
      testDescription: "visible again", steps: [.test(0, 0, .late), .test(0, 0, .late), .test(1, 4, .late)], hidden: []),
    Case(
      testDescription: "the way is gone", steps: [.test(0, 0, .late), .test(0, 0, .late), .noTest], hidden: []),
    Case(
      testDescription: "a silence after a good test asks for another",
      steps: [.test(4, 4, .late), .silence(1, from: 1, isV4: true)], hidden: [], wantsTest: true),
    Case(
      testDescription: "silence alone says nothing while tests arrive",
      steps: [.test(4, 4, .late), .silence(500, from: 50, isV4: true)], hidden: [], wantsTest: true),
    Case(
      testDescription: "a silence while hidden is no news",
      steps: [.test(0, 4, .late), .test(0, 4, .late), .silence(9, from: 9, isV4: true)],
      hidden: ["lan0 4 late 8"]),
    Case(
      testDescription: "one in the other family is",
      steps: [.test(0, 4, .late), .test(0, 4, .late), .silence(1, from: 1, isV4: false)], hidden: ["lan0 4 late 8"],
      wantsTest: true),
    Case(
      testDescription: "an answer while hidden asks for another test",
      steps: [.test(0, 0, .late), .test(0, 0, .late), .answer(isV4: true)],
      hidden: ["lan0 4 late 8", "lan0 6 late 8"], wantsTest: true),
    Case(
      testDescription: "an answer in the other family does not",
      steps: [.test(0, 4, .late), .test(0, 4, .late), .answer(isV4: false)], hidden: ["lan0 4 late 8"]),
    Case(
      testDescription: "an answer while visible does not", steps: [.test(4, 4, .late), .answer(isV4: true)], hidden: []),
    Case(
      testDescription: "without tests: many touches of several sources",
      steps: [.noTest, .silence(8, from: 3, isV4: true)], hidden: [" 4 untested 8"]),
    Case(
      testDescription: "without tests: IPv6", steps: [.silence(9, from: 9, isV4: false)], hidden: [" 6 untested 9"]),
    Case(
      testDescription: "without tests: many touches of two sources, which may be dropped alone",
      steps: [.noTest, .silence(900, from: 2, isV4: true)], hidden: []),
    Case(
      testDescription: "without tests: few touches", steps: [.noTest, .silence(7, from: 7, isV4: true)], hidden: []),
    Case(
      testDescription: "without tests: one was answered among them",
      steps: [.silence(7, from: 7, isV4: true), .answer(isV4: true), .silence(7, from: 7, isV4: true)], hidden: []),
    Case(
      testDescription: "without tests: visible again", steps: [.silence(20, from: 7, isV4: true), .answer(isV4: true)],
      hidden: []),
    Case(
      testDescription: "without tests: the other family's answer does not count",
      steps: [.silence(20, from: 7, isV4: true), .answer(isV4: false)], hidden: [" 4 untested 20"]),
    Case(
      testDescription: "what strangers said does not count once there are tests",
      steps: [.silence(20, from: 7, isV4: true), .test(4, 4, .late), .noTest], hidden: []),
  ]

  @Test("by steps", arguments: cases)
  func table(_ item: Case) {
    var sight = DecoySight()
    for step in item.steps {
      switch step {
      case .test(let v4, let v6, let loss):
        sight.learn([
          Self.v4: DecoySight.Round(sent: 4, reached: v4, loss: loss),
          Self.v6: DecoySight.Round(sent: 4, reached: v6, loss: loss),
        ])
      case .noTest: sight.learn([:])
      case .silence(let count, let sources, let isV4):
        for number in 0..<count { sight.touch(from: Self.stranger(number % sources, isV4), isAnswered: false) }
      case .answer(let isV4): sight.touch(from: Self.stranger(99, isV4), isAnswered: true)
      }
    }
    let hidden = sight.obstacles.map { "\($0.way.interface) \($0.way.isV4 ? 4 : 6) \($0.loss) \($0.packets)" }
    #expect(hidden == item.hidden)
    #expect(sight.wantsTest == item.wantsTest)
  }

  @Test("a first round in which nothing arrives wants a second one, and a third adds nothing")
  func undecided() {
    var sight = DecoySight()
    #expect(!sight.isUndecided)
    for isUndecided in [true, false, false] {
      sight.learn([Self.v4: DecoySight.Round(sent: 4, reached: 0, loss: .late)])
      #expect(sight.isUndecided == isUndecided)
    }
  }

  private static func stranger(_ number: Int, _ isV4: Bool) -> IPAddress {
    isV4 ? IPAddress(v4: 0xcb00_7100 + UInt32(number)) : IPAddress(high: 0x2001_0db8_0000_0000, low: UInt64(number))
  }
}
