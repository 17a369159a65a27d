import Testing

@testable import Daemon

@Suite("What strangers leave half open, and what they send to decoys")
struct DecoyQueueTests {
  private let second: Int64 = 1_000_000_000

  @Test(
    "the queue of all decoys holds a million half-open connections where there is memory, and at most a thirty-second of it"
  )
  func size() {
    let gib: UInt64 = 1 << 30
    for (memory, longest, expected) in [
      (gib / 4, 4_096, 4), (gib, 4_096, 18), (4 * gib, 4_096, 73), (24 * gib, 4_096, 438), (512 * gib, 4_096, 512),
      // An administrator's own limit makes each queue shorter, and never longer than ours.
      (4 * gib, 128, 512), (4 * gib, 65_535, 73), (4 * gib, 0, 512),
    ] as [(UInt64, Int, Int)] {
      #expect(DecoyQueue.listeners(memory: memory, longest: longest) == expected, "\(memory) \(longest)")
    }
    #expect(DecoyQueue.listeners(memory: 24 * gib, longest: 4_096) * DecoyQueue.backlog / 2 > 800_000)
  }

  @Test("chance deals the packets out")
  func program() {
    let program = DecoyQueue.dealOut(among: 7)
    // ld rand; mod #7; add #0; ret a (bpf_asm)
    #expect(program.map(\.code) == [0x20, 0x94, 0x04, 0x16])
    #expect(program.map(\.k) == [0xffff_f038, 7, 0, 0])
    #expect(DecoyQueue.dealOut(among: 7, from: 16).map(\.k) == [0xffff_f038, 7, 16, 0])
  }

  @Test("many within two minutes make the queue longer, few do not")
  func demand() {
    var quiet = DecoyDemand()
    for minute: Int64 in 0..<10 {
      let isHigh = quiet.isHigh(adding: DecoyDemand.enough / 2, at: minute * 64 * second)
      #expect(!isHigh)
    }
    let atOnce = quiet.isHigh(adding: DecoyDemand.enough, at: 9 * 64 * second)
    #expect(atOnce)
    // Nothing of what was two minutes ago.
    let later = quiet.isHigh(adding: DecoyDemand.enough, at: 12 * 64 * second)
    #expect(!later)
    var slow = DecoyDemand()
    let highs = (0..<128).map { slow.isHigh(adding: 40, at: Int64($0) * second) }
    #expect(highs.first == false && highs.last == true)
  }

  @Test("decoys take what they are sent, up to a bound for each second that all share")
  func sink() {
    var sink = DecoySink()
    var taken = 0
    while case let allowance = sink.allowance(at: 5 * second), allowance > 0 {
      #expect(allowance <= DecoySink.atOnce)
      sink.spend(min(allowance, 700_001))
      taken += min(allowance, 700_001)
    }
    #expect(taken == DecoySink.perSecond)
    sink.wait(3, 30)
    sink.wait(4, 40)
    var resumed = sink.resumed(at: 6 * second - 1).map(\.fd)
    #expect(resumed.isEmpty)
    resumed = sink.resumed(at: 6 * second).map(\.fd)
    #expect(resumed == [3, 4])
    resumed = sink.resumed(at: 7 * second).map(\.fd)
    #expect(resumed.isEmpty, "each is told once")
    let next = sink.allowance(at: 7 * second)
    #expect(next == DecoySink.atOnce)
  }
}
