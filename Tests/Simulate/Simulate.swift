import CLinux
import Journal
import Platform
import Simulation
import Wire

/// Loads a simulated month through the real journal: `simulate PATH [SOURCES PROBES DAYS]`. Prints how long it took. `simulate day [PART]`
/// prints the packets of one day of the Internet instead, a line each: milliseconds, source, its port, our port, kind, whether it connects.
@main
enum Simulate {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count >= 2 else {
      Console.error(
        "usage: simulate PATH [SOURCES PROBES DAYS [END]], END in seconds since 1970; or: simulate day [PART [GATEWAY]]"
      )
      exit(64)
    }
    if arguments[1] == "day" { return day(Array(arguments.dropFirst(2))) }
    var settings = Simulation.Settings()
    let numbers = arguments.dropFirst(2).compactMap { Int($0) }
    if numbers.count > 0 { settings.sources = numbers[0] }
    if numbers.count > 1 { settings.probes = numbers[1] }
    if numbers.count > 2 { settings.days = numbers[2] }
    if numbers.count > 3 {
      settings.start = Timestamp(seconds: (Int64(numbers[3]) / 3600 - Int64(settings.days) * 24) * 3600)
    }
    let began = Clock.monotonic
    var simulation = Simulation(settings)
    let made = Clock.monotonic
    Console.print(
      "made \(simulation.probeCount) probes of \(simulation.sourceCount) sources in \(seconds(made - began)) s")
    let writer = try JournalWriter(JournalWriter.Settings(path: arguments[1]))
    var writing: Int64 = 0
    var upkeep: Int64 = 0
    var slowest: Int64 = 0
    var probes: UInt64 = 0
    while let (now, events) = simulation.nextHour() {
      // In batches as large as half a second of a flood of 50,000 a second.
      for start in stride(from: 0, to: events.count, by: 25_000) {
        var batch = Batch()
        let before = Clock.monotonic
        for event in events[start..<min(start + 25_000, events.count)] {
          batch.add(event)
          if case .probe = event { probes += 1 }
        }
        try writer.write(batch, now: now)
        let took = Clock.monotonic - before
        writing += took
        slowest = max(slowest, took)
      }
      let before = Clock.monotonic
      while try writer.maintain(now: now + .seconds(6), mayExpire: false) {}
      upkeep += Clock.monotonic - before
    }
    let all = writing + upkeep
    Console.print("written in \(seconds(writing)) s, upkeep \(seconds(upkeep)) s, slowest batch \(seconds(slowest)) s")
    Console.print("\(Int64(probes) * 1_000_000_000 / max(all, 1)) probes a second, upkeep included")
    Console.print("\(try writer.bytesInUse() / 1_000_000) MB in use")
  }

  private static func day(_ words: [String]) {
    let part = words.first.flatMap { Double($0) } ?? 1
    let radiation = Radiation(part: part, gateway: words.dropFirst().first.flatMap { IPAddress($0) })
    for packet in radiation.packets {
      Console.print(
        "\(packet.milliseconds) \(packet.source) \(packet.sourcePort) \(packet.port) \(packet.kind.rawValue) \(packet.completes ? 1 : 0)"
      )
    }
  }

  private static func seconds(_ nanoseconds: Int64) -> String {
    "\(nanoseconds / 1_000_000_000).\(String(1000 + nanoseconds / 1_000_000 % 1000).dropFirst())"
  }
}
