import Detection
import Strangers
import Wire

/// A week of a host that much goes wrong with, though nobody means harm; and slow scanners.
extension Trials {
  /// Whoever asks for what is not there for a reason: programs that set up an account, clients and monitors in a gap of a service, users of
  /// a service that the kernel translates, servers that look back at us. A thousand of them, for a week.
  static func busyWeek() -> Outcome {
    var week = BusyWeek(Dice(70))
    for minute in 0..<7 * 1440 { week.live(minute) }
    week.world.finish()
    let accused = Set(week.world.accused)
    let missed = week.scanners.filter { !accused.contains(IPNetwork($0.address)) }
    let wrongly = accused.subtracting(week.scanners.map { IPNetwork($0.address) })
    let paces = missed.map { "one every \($0.gap) minutes" }.joined(separator: ", ")
    return Outcome(
      text:
        "7 days, \(week.honest) honest clients, \(week.setups) accounts set up, \(week.gaps) requests into gaps of services, \(week.callbacks) servers that look back: \(wrongly.count) accused (none); \(week.scanners.count - missed.count) of \(week.scanners.count) slow scanners found (all)\(missed.isEmpty ? "" : ", not \(paces)")",
      isKept: wrongly.isEmpty && missed.isEmpty)
  }
}

private struct BusyWeek: ~Copyable {
  struct Scanner {
    let address: IPAddress
    /// Minutes between two ports.
    let gap: Int
    /// It reads its mail here, too.
    let isUser: Bool
  }

  var world = World()
  private var dice: Dice
  private let mailers: [IPAddress]
  private let visitors: [IPAddress]
  private let monitors: [IPAddress]
  private let servers: [IPAddress]
  let scanners: [Scanner]
  private(set) var (setups, gaps, callbacks) = (0, 0, 0)
  var honest: Int { mailers.count + visitors.count + monitors.count + servers.count }

  /// In a container: the kernel translates it, and no socket of ours tells of it.
  private static let translated: UInt16 = 8088
  private static let mail: [UInt16] = [25, 110, 143, 465, 587, 993, 995, 2525, 4190]

  init(_ chance: Dice) {
    var dice = chance
    mailers = (0..<400).map { _ in dice.address() }
    visitors = (0..<400).map { _ in dice.address() }
    monitors = (0..<50).map { _ in dice.address() }
    servers = (0..<150).map { _ in dice.address() }
    var scanners: [Scanner] = []
    for gap in [60, 360, 1440] {
      for number in 0..<8 { scanners.append(Scanner(address: dice.address(), gap: gap, isUser: number % 4 == 0)) }
    }
    self.scanners = scanners
    self.dice = dice
  }

  mutating func live(_ minute: Int) {
    world.wait(seconds: 60)
    let hasWeb = minute % 1440 < 1437
    let hasContainer = minute % 720 < 715
    serve(443, hasWeb)
    setUpAccounts(minute)
    for client in [dice.pick(mailers), dice.pick(mailers)] { visit(client, 993) }
    for _ in 0..<3 { if hasWeb { visit(dice.pick(visitors), 443) } else { miss(dice.pick(visitors), 443) } }
    for _ in 0..<2 {
      let client = dice.pick(visitors)
      if hasContainer { visit(client, Self.translated) } else { miss(client, Self.translated) }
    }
    for monitor in monitors where dice.chance(0.2) {
      for port: UInt16 in [22, 25, 80] { visit(monitor, port, says: 0) }
      if hasWeb { visit(monitor, 443, says: 0) } else { miss(monitor, 443) }
      if hasContainer { visit(monitor, Self.translated, says: 0) } else { miss(monitor, Self.translated) }
    }
    if minute % 20 == 0 { goOut() }
    for scanner in scanners where minute % scanner.gap == scanner.gap / 2 {
      if scanner.isUser { visit(scanner.address, 993) }
      world.knock(scanner.address, dice.ephemeral(), dice.unused(), dice.word())
    }
  }

  /// All ports of mail within moments, in any order, by somebody who may never have been here; some ask the web for settings first.
  private mutating func setUpAccounts(_ minute: Int) {
    guard minute % 12 == 0 else { return }
    let client = mailers[minute / 12 % mailers.count]
    setups += 1
    if dice.chance(0.3) { visit(client, 80) }
    for port in Self.mail.shuffled(&dice) {
      if World.services.contains(port) {
        visit(client, port, says: 40)
      } else {
        world.knock(client, dice.ephemeral(), port, dice.word())
      }
      world.wait(seconds: 0.002)
    }
  }

  /// This host goes to chat and mail servers, which look for open proxies and users' names on it.
  private mutating func goOut() {
    let server = dice.pick(servers)
    callbacks += 1
    let question = World.syn(server, dice.chance(0.5) ? 6667 : 25, dice.ephemeral(), dice.word())
    world.send(World.reply(to: question, .syn), isOurs: true)
    for port: UInt16 in [113, 23, 80, 1080, 3128, 8080, 81, 6588].shuffled(&dice) {
      if World.services.contains(port) {
        visit(server, port, says: 20)
      } else {
        world.knock(server, dice.ephemeral(), port, dice.word())
      }
    }
    visit(server, 25)
  }

  private mutating func visit(_ client: IPAddress, _ port: UInt16, says: UInt16 = 200) {
    world.connect(client, dice.ephemeral(), port, dice.word(), says: says)
  }

  /// Asks in a gap, and again and again.
  private mutating func miss(_ client: IPAddress, _ port: UInt16) {
    for _ in 0...dice.below(3) { world.knock(client, dice.ephemeral(), port, dice.word()) }
    gaps += 1
  }

  /// What the socket tables show.
  private mutating func serve(_ port: UInt16, _ isServed: Bool) {
    var exposure = world.detector.exposure
    guard exposure.servesAnywhere(port) != isServed else { return }
    world.detector.noteServices(exposure.servedAnywhere(.tcp), at: Timestamp(nanoseconds: world.now))
    let kept = exposure.servedAnywhere(.tcp).subtracting(PortSet([port]))
    exposure.removeServices()
    for other in kept.ports { exposure.serveEverywhere(.tcp, other, v4: true, v6: true) }
    if isServed { exposure.serveEverywhere(.tcp, port, v4: true, v6: true) }
    exposure.serveEverywhere(.udp, 53, v4: true, v6: true)
    world.detector.exposure = exposure
  }
}
