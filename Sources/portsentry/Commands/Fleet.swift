import ArgumentParser
import Carrier
import Fleet
import Platform
import Report
import Signing
import Wire

struct RunFleet: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fleet",
    abstract: "Many hosts that tell each other who connects to their decoys, and ban whom several have seen.",
    discussion: "docs/fleet.md says how two hosts are joined.",
    subcommands: [
      MakeFleet.self, EnrolNode.self, Coordinate.self, FleetStatus.self, FleetBan.self, FleetUnban.self,
      FleetAllow.self, RevokeNode.self, FleetWhy.self, Carry.self,
    ])
}

private let exitCodes =
  "Exit status: 0 done; 1 not done, and it says why; 64 wrong usage; 69 the engine does not answer; 77 no permission."

struct FolderOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Where the fleet's key and files are.", valueName: "path"))
  var folder = "/etc/portsentry/fleet"

  var place: FleetFolder { FleetFolder(folder) }

  /// Runs what works on files only; what goes wrong ends the program with a word.
  func working<Value>(_ body: () throws(FleetFolder.Fault) -> Value) throws -> Value {
    do throws(FleetFolder.Fault) { return try body() } catch {
      Console.error("portsentry: \(error)")
      if case .system(let system) = error, system.isForbidden { throw ExitCode(77) }
      throw ExitCode(1)
    }
  }

  /// The same for what asks the engine, as the operator.
  func asking<Value>(_ body: (FleetOperator) throws(EngineFault) -> Value) throws -> Value {
    let membership = try working { () throws(FleetFolder.Fault) in try place.operators() }
    do throws(EngineFault) { return try body(try FleetOperator(membership)) } catch {
      Console.error("portsentry: \(error)")
      throw ExitCode(69)
    }
  }
}

struct MakeFleet: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init", abstract: "Make a fleet: its key, and what is to be said to the engine.",
    usage: "portsentry fleet init <engine> [<options>]",
    discussion: """
      The engine is a Redis from 7.0 on, or a Valkey. It is not trusted: it can withhold what it carries, and forge nothing.

      \(exitCodes)
      """)

  @OptionGroup var folder: FolderOptions
  @Argument(help: "Where the engine is: 10.0.0.5:6379, [2001:db8::5]:6379, or the path of its socket.")
  var engine: String
  @Option(
    help: ArgumentHelp(
      "A network in which it may be asked without encryption; may be given several times.", valueName: "network"))
  var plain: [String] = []
  @Option(
    help: ArgumentHelp(
      "Ask it by TLS, and believe certificates of this authority alone: a PEM file.", valueName: "path"))
  var authority: String?
  @Option(help: ArgumentHelp("The name on the engine's certificate; else its address.", valueName: "name"))
  var name: String?
  @Option(
    help: ArgumentHelp("A certificate to show to the engine, where it asks for one: a PEM file.", valueName: "path"))
  var clientCertificate: String?
  @Option(help: ArgumentHelp("The key of that certificate: a PEM file.", valueName: "path"))
  var clientKey: String?

  func validate() throws {
    if authority == nil, name != nil || clientCertificate != nil || clientKey != nil {
      throw ValidationError("--name, --client-certificate and --client-key need --authority.")
    }
    if (clientCertificate == nil) != (clientKey == nil) {
      throw ValidationError("--client-certificate and --client-key need one another.")
    }
    if let name, !PEMText.isName(name) { throw ValidationError("\(SafeText.line(name)) is no name of a host.") }
    if EngineAddress(engine) == nil {
      throw ValidationError(
        "\(SafeText.line(engine)) is neither an address with a port, such as 10.0.0.5:6379, nor the path of a socket.")
    }
    for network in plain where IPNetwork(network) == nil {
      throw ValidationError(AddressText.fault(network, shown: SafeText.line(network)) + ".")
    }
  }

  func run() throws {
    guard let address = EngineAddress(engine) else { throw ExitCode(64) }
    let tls = try identity(address)
    try folder.working { () throws(FleetFolder.Fault) in
      try folder.place.make(engine: address, plain: plain.compactMap { IPNetwork($0) }, tls: tls, now: Clock.now)
    }
    Console.print(
      """
      The fleet's key is \(folder.place.path)/fleet.key: whoever has it makes members. Keep a copy where no network is.
      Next: portsentry fleet enrol NAME..., then \(folder.place.enginePath) into the engine: redis-cli < \(folder.place.enginePath)
      """)
  }
}

extension MakeFleet {
  private func identity(_ address: EngineAddress) throws -> TLSIdentity? {
    guard let authority else { return nil }
    let host = if case .tcp(let host, _) = address { "\(host)" } else { "localhost" }
    return TLSIdentity(
      authorities: try Self.blocks(.certificate, authority), name: name ?? host,
      certificate: try clientCertificate.map { try Self.blocks(.certificate, $0)[0] },
      key: try clientKey.map { try Self.blocks(.key, $0)[0] })
  }

  /// At least one.
  private static func blocks(_ kind: PEMText.Kind, _ path: String) throws -> [String] {
    let bytes: [UInt8]
    do throws(Errno) { bytes = try Files.read(path, limit: 1 << 18) } catch {
      Console.error("portsentry: \(error)")
      throw ExitCode(error.isForbidden ? 77 : 1)
    }
    let blocks = PEMText.blocks(kind, in: String(decoding: bytes, as: UTF8.self))
    if !blocks.isEmpty { return blocks }
    let way = kind == .key ? "; an older kind of key becomes one by `openssl pkey -in OLD -out NEW`" : ""
    Console.error("portsentry: \(SafeText.line(path)) holds no `-----BEGIN \(kind.rawValue)-----`\(way)")
    throw ExitCode(1)
  }
}

struct EnrolNode: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "enrol", abstract: "Make hosts members of the fleet: one file for each, to be copied to it.",
    usage: "portsentry fleet enrol <name> ... [<options>]",
    discussion: exitCodes)

  @OptionGroup var folder: FolderOptions
  @Argument(help: "Names for the hosts: letters, digits, `.`, `_` and `-`.")
  var name: [String]
  @Option(
    help: ArgumentHelp(
      "The zone of these hosts: those that one break-in or one provider may give away together.", valueName: "number"))
  var zone: UInt16 = 1
  @Option(
    help: ArgumentHelp(
      "An address or network of theirs, which the fleet never bans; may be given several times.", valueName: "network"))
  var address: [String] = []

  func validate() throws {
    for network in address where IPNetwork(network) == nil {
      throw ValidationError(AddressText.fault(network, shown: SafeText.line(network)) + ".")
    }
  }

  func run() throws {
    for name in name {
      let member = try folder.working { () throws(FleetFolder.Fault) in
        try folder.place.enrol(name, zone: zone, addresses: address.compactMap { IPNetwork($0) }, now: Clock.now)
      }
      Console.print(
        "\(name) is number \(member.number), zone \(member.zone): copy \(folder.place.nodePath(name)) to its /etc/portsentry/fleet.node"
      )
    }
    Console.print("Tell the engine of them: redis-cli < \(folder.place.enginePath)")
  }
}

struct Coordinate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "coordinate", abstract: "Add up what the hosts of the fleet tell, and tell all of them.",
    usage: "portsentry fleet coordinate [<options>]",
    discussion: """
      Keeps nothing, knows no key and is trusted by nobody: any number may run, wherever the engine is reached. Without one \
      nothing new becomes a ban of the fleet. Runs until it is ended.

      Exit status: 64 wrong usage; 1 its file cannot be read; 77 no permission.
      """)

  @OptionGroup var folder: FolderOptions
  @Option(
    help: ArgumentHelp(
      "Its file, where there is no folder of the fleet's: a copy of coordinator.node.", valueName: "path"))
  var file: String?
  @Option(help: ArgumentHelp("The least FLEET_QUORUM of the fleet.", valueName: "number"))
  var quorum = 3
  @Option(help: ArgumentHelp("The longest FLEET_TIME of the fleet.", valueName: "time"))
  var time = "24h"
  @Flag(help: "There is another one: wait a tenth of a second whether it is first.")
  var second = false

  func validate() throws {
    if !(2...8).contains(quorum) { throw ValidationError("--quorum must be from 2 to 8.") }
    _ = try lengthOfTime(time)
  }

  func run() throws {
    var settings = Coordinator<OpenSSLVerifier>.Settings()
    settings.quorum = quorum
    settings.time = .seconds(try lengthOfTime(time))
    if second { settings.delay = .milliseconds(100) }
    let membership: Membership
    do throws(Membership.Fault) { membership = try Membership.read(file ?? folder.place.coordinatorPath) } catch {
      Console.error("portsentry: \(error)")
      if case .system(let system) = error, system.isForbidden { throw ExitCode(77) }
      throw ExitCode(1)
    }
    let coordinator: CoordinatorRun
    do throws(Membership.Fault) { coordinator = try CoordinatorRun(membership, settings) } catch {
      Console.error("portsentry: \(error)")
      throw ExitCode(1)
    }
    do throws(Errno) { try CarrierProcess.confine() } catch {
      Console.error("portsentry: \(error)")
      throw ExitCode(1)
    }
    coordinator.run { Console.error("portsentry: fleet coordinator: \($0)") }
  }
}

struct FleetStatus: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show who is of the fleet, and when each last said something.",
    discussion: exitCodes)

  @OptionGroup var folder: FolderOptions
  @Flag(help: "Print JSON. Times are seconds since 1970.")
  var json = false

  func run() throws {
    let (nodes, words, orders) = try folder.asking { (fleet) throws(EngineFault) in
      let nodes = try fleet.certificates().filter { $0.body.role == .node }
      return (nodes, try fleet.lastWords(of: nodes.map(\.body.number)), try fleet.orders())
    }
    let now = Clock.now
    let revoked = Set(orders.lazy.filter { $0.body.verb == .revoke }.map(\.body.node))
    if json {
      let list = zip(nodes, words).map { node, word in
        JSON.object([
          "number": JSON(Int(node.body.number)), "name": .string(node.body.name), "zone": JSON(Int(node.body.zone)),
          "last": word.map { JSON(Int($0.seconds)) } ?? .null, "revoked": .bool(revoked.contains(node.body.number)),
        ])
      }
      Console.print(JSON.object(["shape": 1, "nodes": .array(list), "orders": JSON(orders.count)]).text)
      return
    }
    for (node, word) in zip(nodes, words) {
      let what =
        if revoked.contains(node.body.number) { "revoked" } else if let word { Self.age(now - word) } else {
          "has never said anything"
        }
      Console.print("\(node.body.name)  number \(node.body.number)  zone \(node.body.zone)  \(what)")
    }
    Console.print("\(nodes.count) hosts, \(orders.count) orders of operators")
  }

  /// Nodes say every minute that they live.
  private static func age(_ age: Duration) -> String {
    if age < .seconds(-5) { return "its clock is \(Term.text(.zero - age)) ahead of this one" }
    return age < .seconds(150) ? "alive" : "silent for \(Term.text(age))"
  }
}

/// What the orders about networks have in common.
private func give(
  _ folder: FolderOptions, _ verb: Order.Verb, _ target: String, seconds: Int64? = nil, reason: String = ""
)
  throws
{
  guard let network = IPNetwork(target) else { throw ExitCode(64) }
  let now = Clock.now
  let issuer = try folder.working { () throws(FleetFolder.Fault) in try folder.place.operators() }
  let body = Order.Body(
    verb, by: issuer.certificate?.body.number ?? 0, at: now, network: network,
    until: seconds.map { now + .seconds($0) } ?? .distantPast, reason: reason)
  if let problem = body.problem {
    Console.error("portsentry: no such order can be given: \(problem)")
    throw ExitCode(64)
  }
  try folder.asking { (fleet) throws(EngineFault) in try fleet.give(body) }
}

private func check(_ target: String) throws {
  if IPNetwork(target) == nil {
    throw ValidationError(AddressText.fault(target, shown: SafeText.line(target)) + ".")
  }
}

private func lengthOfTime(_ text: String) throws -> Int64 {
  guard let seconds = Term.seconds(text) else {
    throw ValidationError("\(SafeText.line(text)) is no length of time: write 30m, 2h or 7d.")
  }
  return seconds
}

struct FleetBan: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ban", abstract: "Have all hosts of the fleet ban an address or network.",
    usage: "portsentry fleet ban <target> [<options>]",
    discussion: "What a host itself spares stays spared there.\n\n" + exitCodes)

  @OptionGroup var folder: FolderOptions
  @Argument(help: "An IPv4 or IPv6 address, or a network.")
  var target: String
  @Option(help: ArgumentHelp("How long, e.g. 30m, 12h, 7d.", valueName: "time"))
  var time = "24h"
  @Option(help: ArgumentHelp("Why, for people.", valueName: "text"))
  var reason = ""

  func validate() throws {
    try check(target)
    _ = try lengthOfTime(time)
  }

  func run() throws {
    try give(folder, .ban, target, seconds: try lengthOfTime(time), reason: reason)
    Console.print("All hosts of the fleet are told to ban \(target)")
  }
}

struct FleetUnban: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "unban", abstract: "End the fleet's bans of an address or network on all hosts.",
    discussion:
      "What was said of it up to now never counts again. A host's own blocks stay: see `portsentry unblock`.\n\n"
      + exitCodes)

  @OptionGroup var folder: FolderOptions
  @Argument(help: "An IPv4 or IPv6 address, or a network.")
  var target: String

  func validate() throws { try check(target) }

  func run() throws {
    try give(folder, .unban, target)
    Console.print("All hosts of the fleet are told to let \(target) in")
  }
}

struct FleetAllow: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "allow", abstract: "Have the fleet ban nobody in a network for a time.", discussion: exitCodes)

  @OptionGroup var folder: FolderOptions
  @Argument(help: "An IPv4 or IPv6 address, or a network.")
  var target: String
  @Option(name: .customLong("for"), help: ArgumentHelp("How long, e.g. 30m, 12h, 7d.", valueName: "time"))
  var time = "24h"

  func validate() throws {
    try check(target)
    _ = try lengthOfTime(time)
  }

  func run() throws {
    try give(folder, .allow, target, seconds: try lengthOfTime(time))
    Console.print("The fleet bans nobody in \(target) for \(time)")
  }
}

struct RevokeNode: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke", abstract: "Cast a host out: nothing that it said counts any more.",
    discussion: "Bans that rest on it are counted anew on every host.\n\n" + exitCodes)

  @OptionGroup var folder: FolderOptions
  @Argument(help: "The name under which it was enrolled.")
  var name: String

  func run() throws {
    let (issuer, member) = try folder.working { () throws(FleetFolder.Fault) in
      guard let member = try folder.place.members().first(where: { $0.name == name }) else {
        throw .unknown(SafeText.line(name))
      }
      return (try folder.place.operators(), member)
    }
    let body = Order.Body(
      .revoke, by: issuer.certificate?.body.number ?? 0, at: Clock.now, node: member.number)
    try folder.asking { (fleet) throws(EngineFault) in try fleet.give(body) }
    Console.print(
      """
      \(name) is cast out: nothing that it said counts any more.
      Its way to the engine is closed by: redis-cli ACL DELUSER \(EngineACL.user(issuer.fleet, member.number))
      """)
  }
}

struct FleetWhy: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "why", abstract: "Say which hosts of the fleet saw an address, and when.",
    discussion: "Each host's own `portsentry why` says what it does about it.\n\n" + exitCodes)

  @OptionGroup var folder: FolderOptions
  @Argument(help: "An IPv4 or IPv6 address.")
  var target: String

  func validate() throws {
    if IPAddress(target) == nil {
      throw ValidationError("'\(SafeText.line(target))' is not a valid IP address.")
    }
  }

  func run() throws {
    guard let address = IPAddress(target) else { throw ExitCode(64) }
    let found = try folder.asking { (fleet) throws(EngineFault) in
      try fleet.testimonies(of: address, by: try fleet.certificates())
    }
    if found.isEmpty {
      Console.error("no host of the fleet says anything of \(address)")
      throw ExitCode(1)
    }
    for (node, testimony) in found {
      let body = testimony.body
      let ports = (0..<4).map { body.ports[$0] }.filter { $0 != 0 }.map(String.init).joined(separator: ", ")
      let what =
        switch body.kind {
        case .contact: "connected to a decoy on port \(ports)"
        case .verdict: "scanned, and connected to a decoy on port \(ports)"
        case .retraction: "takes back what it said"
        case .probe: "was probed, without a connection, on port \(ports)"
        case .alive: "lives"
        }
      Console.print("\(LocalTime.short(body.time))  \(node.body.name)  \(what)")
    }
  }
}

/// The carrier's process; started by the sentry alone.
struct Carry: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "carry", abstract: "Carry records between the sentry and the engine; the sentry starts it.",
    shouldDisplay: false)

  func run() throws { throw ExitCode(CarrierProcess.run(pair: 0)) }
}
