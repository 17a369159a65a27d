import TestSupport
import Testing
import Wire

@Suite struct PortSetTests {
  @Test(
    "Ranges",
    arguments: [
      ([], "none"), ([0], "0"), ([65535], "65535"), ([0, 65535], "0,65535"), ([0, 1, 2], "0-2"), ([63, 64], "63-64"),
      ([62, 63, 65], "62-63,65"), ([64, 127, 128], "64,127-128"), ([65534, 65535], "65534-65535"),
      ([3, 1, 2, 1], "1-3"),
    ] as [([UInt16], String)])
  func ranges(ports: [UInt16], text: String) {
    #expect(PortSet(ports).description == text)
  }

  @Test func allPorts() {
    let all = PortSet(ranges: [0...65535])
    #expect(all.count == 65536)
    #expect(all.ranges == [0...65535])
    #expect(all.subtracting(PortSet([80] as [UInt16])).ranges == [0...79, 81...65535])
    #expect(all.ports.count == 65536)
  }

  @Test func againstASet() {
    var random = SeededGenerator(seed: 5)
    for round in 0..<20 {
      var set = PortSet()
      var model: Set<UInt16> = []
      // Whole words of the bitmap, their edges, and scattered ports.
      for _ in 0..<Int.random(in: 0...40, using: &random) {
        let start = UInt16.random(in: 0...65535, using: &random) & (random.chance(50) ? 0xffc0 : 0xffff)
        let end = UInt16(min(Int(start) + Int.random(in: 0...200, using: &random), 65535))
        switch Int.random(in: 0..<4, using: &random) {
        case 0:
          set.insert(start...end)
          model.formUnion(start...end)
        case 1:
          set.insert(start)
          model.insert(start)
        case 2:
          set.remove(end)
          model.remove(end)
        default:
          set.subtract(PortSet(ranges: [start...end]))
          model.subtract(start...end)
        }
      }
      #expect(set.ports == model.sorted(), "round \(round)")
      #expect(set.count == model.count)
      #expect(set.isEmpty == model.isEmpty)
      #expect(PortSet(ranges: set.ranges) == set)
      for (a, b) in zip(set.ranges, set.ranges.dropFirst()) { #expect(Int(a.upperBound) + 1 < Int(b.lowerBound)) }
      for _ in 0..<100 {
        let port = UInt16.random(in: 0...65535, using: &random)
        #expect(set.contains(port) == model.contains(port))
      }
    }
  }
}
