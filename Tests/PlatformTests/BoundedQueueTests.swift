import Platform
import TestSupport
import Testing

@Suite struct BoundedQueueTests {
  @Test func inOrderAndNoMoreThanFits() {
    let queue = BoundedQueue<Int>(capacity: 3)
    let producer = queue.makeProducer()
    let consumer = queue.makeConsumer()
    #expect(consumer.pop() == nil)
    for round in 0..<10 {
      #expect((0..<5).map { producer.push(round * 10 + $0) } == [true, true, true, false, false])
      #expect(consumer.refused == UInt64(2 * (round + 1)))
      #expect((0..<4).map { _ in consumer.pop() } == [round * 10, round * 10 + 1, round * 10 + 2, nil])
    }
  }

  @Test func againstAnArray() {
    var random = SeededGenerator(seed: 16)
    let queue = BoundedQueue<Int>(capacity: 7)
    let producer = queue.makeProducer()
    let consumer = queue.makeConsumer()
    var model: [Int] = []
    for step in 0..<10_000 {
      if random.chance(50) {
        #expect(producer.push(step) == (model.count < 7))
        if model.count < 7 { model.append(step) }
      } else {
        #expect(consumer.pop() == (model.isEmpty ? nil : model.removeFirst()))
      }
    }
  }

  @Test func twoThreads() throws {
    let total = 200_000
    let queue = BoundedQueue<Int>(capacity: 64)
    let consumer = queue.makeConsumer()
    let owned = Owned(queue.makeProducer())
    nonisolated(unsafe) let unsafeOwned = owned
    let thread = try Thread.start(name: "producer") {
      for number in 0..<total { unsafe unsafeOwned.value.push(number) }
    }
    var last = -1
    var received = 0
    var isOrdered = true
    let deadline = Clock.monotonic + 20_000_000_000
    while received + Int(consumer.refused) < total, Clock.monotonic < deadline {
      while let number = consumer.pop() {
        if number <= last { isOrdered = false }
        last = number
        received += 1
      }
    }
    thread.join()
    while let number = consumer.pop() {
      if number <= last { isOrdered = false }
      last = number
      received += 1
    }
    #expect(isOrdered)
    #expect(received + Int(consumer.refused) == total)
    #expect(received > 0)
  }
}
