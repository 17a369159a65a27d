import CLinux
import Detection
import Platform
import TestSupport
import Testing
import Wire

@testable import Daemon

/// The sensor with the real kernel, on the loopback interface of a network of its own.
@Suite(.enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
struct SensorTests {
  private static let watched: UInt16 = 2_323

  private func settings() -> SensorSettings {
    var settings = SensorSettings()
    settings.interfaces = .all
    settings.detector.tcp = Detector.Watch(mode: .stealth, ports: PortSet(ranges: [1...4_000]))
    settings.detector.asksForConnections = true
    return settings
  }

  private func connect(_ port: UInt16) throws -> Bool {
    let file = try FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return unsafe CLinux_connect(file.raw, &address, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
  }

  private func listener(_ port: UInt16) throws -> FileDescriptor {
    let file = try FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    try check("bind") { unsafe CLinux_bind(file.raw, &address, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    try check("listen") { listen(file.raw, 8) }
    return file
  }

  @Test func `A port without a service is a probe, one with a service is none, and the end is the link's word`() throws
  {
    try inNamespace {
      let probes = BoundedQueue<Probe>(capacity: 1_024)
      let verdicts = BoundedQueue<Verdict>(capacity: 1_024)
      let link = try SensorLink()
      let service = try listener(80)
      var sensor = try Sensor.open(
        settings(), queue: probes.makeProducer(), verdicts: verdicts.makeProducer(), link: link)
      try sensor.start()
      let handover = Handover(sensor)
      let thread = try Thread.start(name: "sensor") { handover.take()?.run() }
      let found = probes.makeConsumer()
      #expect(try connect(80))
      #expect(try !connect(Self.watched))
      var seen: [Probe] = []
      let end = Clock.monotonic + 20_000_000_000
      while seen.isEmpty, Clock.monotonic < end {
        _ = Poll.readable([link.toSentry.fd], milliseconds: 1_000)
        link.toSentry.clear()
        while let probe = found.pop() { seen.append(probe) }
      }
      let statistics = link.currentStatistics(wait: 20_000)
      link.update { $0.isStopping = true }
      thread.join()
      while let probe = found.pop() { seen.append(probe) }
      #expect(seen.map(\.targetPort) == [Self.watched])
      #expect(
        seen.first?.source == IPAddress("127.0.0.1") && seen.first?.technique == .syn && seen.first?.answer == .reset)
      #expect(statistics.servedTCP.contains(80) && !statistics.servedTCP.contains(Self.watched))
      #expect(statistics.interfaces == ["lo"] && statistics.probes == 1)
      _ = consume service
    }
  }

  @Test func `An interface that does not exist is told, and that nothing is seen`() throws {
    try inNamespace {
      let probes = BoundedQueue<Probe>(capacity: 16)
      let verdicts = BoundedQueue<Verdict>(capacity: 16)
      let link = try SensorLink()
      var settings = settings()
      settings.interfaces = .named(["lan9"])
      let sensor = try Sensor.open(
        settings, queue: probes.makeProducer(), verdicts: verdicts.makeProducer(), link: link)
      _ = consume sensor
      #expect(link.takeNotices() == [.interfaceMissing("lan9"), .nothingToWatch])
    }
  }
}
