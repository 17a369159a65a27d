import Detection
import Testing
import Wire

@testable import Response

@Suite("Requests beside services") struct SetupsTests {
  private static let second: Int64 = 1_000_000_000

  private static func probe(_ number: Int, _ port: UInt16, asked: ServiceFamilies, used: ServiceFamilies = []) -> Probe
  {
    var probe = Probe(
      time: Timestamp(seconds: 1), source: IPAddress(v4: 0x0a00_0000 + UInt32(number)), sourcePort: 1,
      target: .unspecified,
      targetPort: port, transport: .tcp, mode: .stealth, technique: .syn)
    (probe.asked, probe.used) = (asked, used)
    return probe
  }

  @Test func `More than it has room for count at once, and those that wait are not lost by it`() {
    var setups = Setups()
    for number in 0..<Setups.capacity {
      #expect(setups.take(Self.probe(number, 995, asked: .mail), isTold: true, at: 0) == .waits)
    }
    #expect(setups.take(Self.probe(9_999, 995, asked: .mail), isTold: true, at: 0) == .counts)
    #expect(setups.take(Self.probe(3, 110, asked: .mail), isTold: true, at: 0) == .waits)
    #expect(setups.takeDue(at: 2 * Self.second - 1).isEmpty)
    #expect(setups.takeDue(at: 2 * Self.second).count == Setups.capacity)
    #expect(setups.count == 0)
  }

  @Test func `Of users more than there is room for are forgotten, not kept`() {
    var setups = Setups()
    for number in 0...Setups.capacity {
      setups.answered(IPAddress(v4: 0x0a00_0000 + UInt32(number)), .mail, at: 0)
    }
    #expect(setups.take(Self.probe(0, 995, asked: .mail), isTold: true, at: 1) == .waits)
    #expect(setups.take(Self.probe(Setups.capacity, 995, asked: .mail), isTold: true, at: 1) == .forgiven)
  }

  @Test(arguments: [995, 9100, 8443, 80, 445] as [UInt16])
  func `A decoy's word waits for the sensor's at ports of families alone`(_ port: UInt16) {
    var setups = Setups()
    #expect(setups.take(Self.probe(1, port, asked: []), isTold: false, at: 0) == .waits)
    #expect(setups.isUntold(IPAddress(v4: 0x0a00_0001)))
    #expect(setups.take(Self.probe(1, port, asked: []), isTold: true, at: 0) == .counts)
    #expect(setups.take(Self.probe(2, 23, asked: []), isTold: false, at: 0) == .counts)
  }
}
