import Detection
import Foundation
import Platform
import Response
import Simulation
import Strangers
import Testing
import Wire

@testable import Daemon

/// A day of the Internet through the detector, the decisions and the log of a sentry that blocks, by the clock of that day: the limits
/// of the log depend on time. The same packets go to a living sentry in `logs.a_day_of_the_internet`.
@Suite struct DayTests {
  private final class Hand {
    var time = Timestamp(nanoseconds: 0)
    var source: TimeSource { TimeSource(now: { self.time }, monotonic: { self.time.nanoseconds }) }
  }

  private static let isBench = ProcessInfo.processInfo.environment["PORTSENTRY_BENCH"] != nil
  private static let gateway = IPAddress("10.79.0.1")!

  /// What a day was, and what is written of it.
  private struct Day {
    var lines: [String] = []
    var blocked: Set<String> = []
    var scanners: Set<String> = []
    var lost: UInt64 = 0

    func count(_ words: String) -> Int { lines.count { $0.contains(words) } }
    /// The sum of the numbers before these words.
    func sum(_ words: String) -> Int {
      lines.filter { $0.contains(words) }.reduce(0) { sum, line in
        let number = line.replacing("ERROR: ", with: "").prefix { $0.isNumber || $0 == "," }
        return sum + (Int(number.filter { $0 != "," }) ?? 0)
      }
    }
  }

  private static func play(_ radiation: Radiation, blocks: Bool) throws -> Day {
    var day = Day()
    let hand = Hand()
    var world = World(sources: 131_072, isAdvanced: true)
    hand.time = Timestamp(nanoseconds: world.now)
    try withSentry(.native, time: hand.source) { plan in
      plan.configuration.response.tcp = blocks ? .block : .logOnly
      plan.configuration.historyFile = nil
    } _: { sentry, lines in
      sentry.restoreBlocks()
      sentry.decide(.safe(SafeNetworks([(IPNetwork(gateway), "the default gateway")])))
      let begin = world.now
      var second: Int64 = 0
      for packet in radiation.packets {
        let at = begin + packet.milliseconds * 1_000_000
        while second < packet.milliseconds / 1000 {
          second += 1
          hand.time = Timestamp(nanoseconds: begin + second * 1_000_000_000)
          tick(sentry)
          if second % 3600 == 1800 {
            sentry.link.notify(.ringOverflow(10))
            day.lost += 10
            _ = sentry.takeNotices()
          }
        }
        world.now = at
        hand.time = Timestamp(nanoseconds: at)
        show(packet, to: &world)
        take(&world, to: sentry, &day)
        guard packet.completes else { continue }
        sentry.decide(
          .contact(
            Contact(
              time: hand.time, source: packet.source, sourcePort: packet.sourcePort, target: World.us, port: packet.port
            )))
      }
      day.blocked = Set(sentry.decisions.table.unordered.map { "\($0.record.network)" })
      // Another day, in which every block ends.
      for _ in 0..<90_000 {
        second += 1
        hand.time = Timestamp(nanoseconds: begin + second * 1_000_000_000)
        tick(sentry)
      }
      sentry.scribe.sayLimits(isLast: true)
      day.lines = lines("log")
    }
    return day
  }

  /// As the sentry's loop does every second.
  private static func tick(_ sentry: Sentry) {
    sentry.decide(.tick)
    sentry.scribe.sayLimits()
    sentry.decide(.expiry)
  }

  private static func show(_ packet: Radiation.Packet, to world: inout World) {
    let seen = packet.packet
    world.send(seen)
    guard packet.kind != .backscatter, packet.kind != .datagram else { return }
    var answer = World.reply(to: seen, TCPFlags(rawValue: 0x14))
    answer.acknowledgment = seen.sequence &+ 1
    world.send(answer, isOurs: true)
  }

  private static func take(_ world: inout World, to sentry: Sentry, _ day: inout Day) {
    for verdict in world.verdicts {
      if verdict.verdictClass == .scan { day.scanners.insert("\(verdict.source)") }
      sentry.decide(.verdict(verdict))
    }
    for probe in world.probes { sentry.decide(.probe(probe)) }
    world.forgetVerdicts()
    world.forgetProbes()
  }

  @Test(arguments: isBench ? [true, false] : [true])
  func `A day of the Internet is at most 1,500 lines, and no block, loss or refusal is missing`(_ blocks: Bool) throws {
    let radiation = Radiation(gateway: Self.gateway)
    #expect(radiation.packets.count > 160_000 && radiation.sources > 5000)
    let day = try Self.play(radiation, blocks: blocks)
    print(
      "a day: \(day.lines.count) lines of \(radiation.packets.count) packets, \(day.scanners.count) scanners, \(day.blocked.count) blocks"
    )
    #expect(day.lines.count <= 1500)
    #expect(day.sum("packets were lost in the kernel") == Int(day.lost))
    #expect(day.count("is a scanner") + day.count("scan together") + day.sum("further scanner") >= day.scanners.count)
    guard blocks else { return }
    #expect(day.blocked == Set(radiation.connecting.filter { $0 != Self.gateway }.map { "\($0)" }))
    for address in day.blocked {
      #expect(day.count("Blocked \(address) ") == 1)
      #expect(day.count("Block of \(address) has ended") == 1)
    }
    #expect(day.count("nothing proves") == 0)
    #expect(day.count("\(Self.gateway) was not blocked: it is the default gateway") >= 1)
  }
}

extension Radiation.Packet {
  /// As it comes over the wire.
  fileprivate var packet: Wire.Packet {
    let sequence = UInt32(truncatingIfNeeded: milliseconds &* 2_654_435_761) ^ UInt32(port) << 16
    var packet = World.tcp(source, sourcePort, port, .syn)
    packet.sequence = sequence
    (packet.dontFragment, packet.length, packet.hopLimit) = (false, 40, 240)
    switch kind {
    case .zmap: (packet.identification, packet.window) = (54_321, 65_535)
    case .zmapWindows:
      (packet.window, packet.hopLimit, packet.tcpOptionsLength) = (65_535, 52, 12)
      packet.synOptions.kinds = 0x141_1312
      (packet.synOptions.maximumSegmentSize, packet.synOptions.windowScale) = (1460, 8)
    case .masscan:
      packet.identification = UInt16(truncatingIfNeeded: World.us.v4Bits ^ UInt32(port) ^ sequence)
      packet.window = 1024
    case .mirai: (packet.sequence, packet.hopLimit, packet.window) = (World.us.v4Bits, 52, sourcePort)
    case .nmap:
      (packet.sequence, packet.window, packet.hopLimit, packet.tcpOptionsLength) = (0x1234_5678, 1024, 45, 4)
      packet.synOptions.kinds = 0x12
      packet.synOptions.maximumSegmentSize = 1460
    case .linux: return World.syn(source, sourcePort, port, sequence)
    case .datagram: return World.udp(source, sourcePort, port, 40)
    case .backscatter: packet.flags = .synAck
    }
    return packet
  }
}
