import Testing

@testable import Response

@Suite("The order in which things came")
struct ArrivalOrderTests {
  @Test("The oldest that is current is taken first, and what has gone is passed over")
  func oldest() {
    var order = ArrivalOrder<Int>()
    for number in 1...4 { order.append(number, bound: 10) { _ in true } }
    #expect(order.takeOldest { $0 != 1 } == 2)
    #expect(order.takeOldest { _ in true } == 3)
    #expect(order.takeOldest { $0 > 4 } == nil)
    #expect(order.takeOldest { _ in true } == nil)
  }

  @Test("Beyond the bound only current ones keep a place, each one")
  func bounded() {
    var order = ArrivalOrder<Int>()
    for number in [1, 2, 1, 3, 2] { order.append(number, bound: 4) { $0 != 3 } }
    #expect(order.count == 2)
    #expect(order.takeOldest { _ in true } == 1)
    #expect(order.takeOldest { _ in true } == 2)
  }

  @Test("What was passed over is let go of as it becomes the greater part")
  func passedOver() {
    var order = ArrivalOrder<Int>()
    for number in 0..<5_000 {
      order.append(number, bound: .max) { _ in true }
      if number >= 10 { #expect(order.takeOldest { _ in true } == number - 10) }
    }
    #expect(order.count < 2_200)
  }
}
