import Foundation
import Response
import Testing
import Wire

@testable import Configuration

@Suite struct MigrationTests {
  private func migrate(_ text: String, _ dialect: Dialect? = nil) -> (migration: Migration, file: String) {
    let migration = Migration(Array(text.utf8), path: "old", dialect: dialect)
    return (migration, migration.file(from: "old"))
  }

  private func settings(_ file: String) -> [String] {
    file.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
  }

  /// Debian's file of 1.2, as everybody has it, with blocking on.
  private static let debian = """
    # a comment
    TCP_PORTS="1,11,15,79"
    UDP_PORTS="1,7,9"
    ADVANCED_PORTS_TCP="1024"
    ADVANCED_EXCLUDE_TCP="113,139"
    IGNORE_FILE="/etc/portsentry/portsentry.ignore"
    HISTORY_FILE="/var/lib/portsentry/portsentry.history"
    BLOCKED_FILE="/var/lib/portsentry/portsentry.blocked"
    RESOLVE_HOST = "0"
    BLOCK_UDP="1"
    BLOCK_TCP="1"
    KILL_ROUTE="/sbin/route add -host $TARGET$ reject"
    KILL_HOSTS_DENY="ALL: $TARGET$ : DENY"
    SCAN_TRIGGER="0"
    """

  @Test func `Debian's file becomes a native one`() {
    let (migration, file) = migrate(Self.debian)
    #expect(migration.dialect == .classic && migration.diagnostics.isEmpty)
    #expect(
      settings(file) == [
        "TCP_PORTS=\"1,11,15,79\"", "UDP_PORTS=\"1,7,9\"", "ADVANCED_PORTS_TCP=\"1024\"",
        "ADVANCED_EXCLUDE_TCP=\"113,139\"", "IGNORE_FILE=\"/etc/portsentry/portsentry.ignore\"",
        "HISTORY_FILE=\"/var/lib/portsentry/portsentry.history\"",
        "BLOCKED_FILE=\"/var/lib/portsentry/portsentry.blocked\"", "RESOLVE_HOST=\"0\"", "BLOCK_UDP=\"1\"",
        "BLOCK_TCP=\"1\"", "BLOCK_METHOD=\"route\"", "SCAN_TRIGGER=\"0\"", "LOG_FORMAT=\"native\"",
        "HISTORY_FORMAT=\"1.2\"", "PROOF=\"handshake\"", "RULE=\"native\"", "BLOCK_TIME=\"24h\"",
      ])
    let text = migration.sideBySide(width: 80)
    for line in text.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    #expect(text.contains("12: KILL_ROUTE=\"/sbin/route add -host"))
    #expect(text.contains("   BLOCK_METHOD=\"route\"\n"))
  }

  @Test(arguments: [
    ("/sbin/route add -host $TARGET$ reject", "route"), ("/sbin/route add -host $TARGET$ gw 10.9.9.9", "route"),
    ("/sbin/ip route add unreachable $TARGET$", "route"), ("ip route replace blackhole $TARGET$", "route"),
    ("/sbin/iptables -I INPUT -s $TARGET$ -j DROP", "nftables"),
    ("/usr/sbin/iptables -w -A INPUT --source $TARGET$ -j REJECT >/dev/null 2>&1", "nftables"),
    (
      "/sbin/iptables -I INPUT -s $TARGET$ -j DROP && /sbin/iptables -I INPUT -s $TARGET$ -m limit --limit 3/minute -j LOG --log-prefix 'Portsentry: dropping: '",
      "nftables"
    ),
    ("/usr/sbin/ipset -exist add scanners $TARGET$", "nftables"),
    ("/usr/sbin/nft add element inet filter scanners { $TARGET$ timeout 24h }", "nftables"),
    ("nft add rule inet filter input ip saddr $TARGET$ drop", "nftables"),
    ("/usr/sbin/ufw prepend deny from $TARGET$ to any", "nftables"), ("ufw insert 1 deny from $TARGET$", "nftables"),
    ("firewall-cmd --zone=drop --add-source=$TARGET$", "nftables"),
    ("firewall-cmd --add-rich-rule='rule family=ipv4 source address=$TARGET$ drop'", "nftables"),
  ])
  func `Known commands become a method`(_ command: String, _ method: String) {
    let file = migrate("ADVANCED_PORTS_TCP=\"1024\"\nBLOCK_TCP=\"1\"\nKILL_ROUTE=\"\(command)\"").file
    #expect(settings(file).contains("BLOCK_METHOD=\"\(method)\""))
    #expect(!settings(file).contains { $0.hasPrefix("KILL_ROUTE") })
  }

  @Test(arguments: [
    "/usr/local/bin/block $TARGET$", "/sbin/iptables -I INPUT -s $TARGET$ -p tcp --dport 22 -j DROP",
    "/sbin/iptables -I INPUT -s $TARGET$ -j LOG", "/sbin/iptables -I FORWARD -s $TARGET$ -j DROP",
    "/sbin/iptables -I INPUT -s $TARGET$ -j DROP; mail root", "ip route add $TARGET$ via 10.0.0.1",
    "/sbin/iptables -I INPUT -s $TARGET$ -j ACCEPT", "fail2ban-client set portsentry banip $TARGET$",
    "route add -host $TARGET$ dev eth1", "/usr/sbin/ufw allow from $TARGET$",
    "firewall-cmd --zone=trusted --add-source=$TARGET$", "nft add rule inet f i ip saddr $TARGET$ accept",
  ])
  func `Other commands stay as they are`(_ command: String) {
    let file = migrate("ADVANCED_PORTS_TCP=\"1024\"\nBLOCK_TCP=\"1\"\nKILL_ROUTE=\"\(command)\"").file
    #expect(settings(file).contains("KILL_ROUTE=\"\(command)\""))
    #expect(settings(file).contains("BLOCK_METHOD=\"command\""))
  }

  @Test func `A command that stays gets the one that takes it back, where we know it`() {
    let file = migrate("BLOCK_TCP=\"1\"\nADVANCED_PORTS_TCP=\"9\"\nKILL_ROUTE=\"fail2ban-client set x banip $TARGET$\"")
      .file
    #expect(settings(file).contains("UNKILL_ROUTE=\"fail2ban-client set x unbanip $TARGET$\""))
  }

  @Test func `What was not in force stays out of force`() {
    let (_, file) = migrate(
      "ADVANCED_PORTS_TCP=\"1024\"\nTCP_PORTS=\"1,2\"\nTCP_PORTS=\"3\"\n BLOCK_TCP=\"1\"\nUSE_RESOLV=\"0\"\nstray words\n"
    )
    #expect(settings(file).filter { $0.hasPrefix("TCP_PORTS") } == ["TCP_PORTS=\"1,2\""])
    #expect(!settings(file).contains { $0.hasPrefix("BLOCK_TCP") } && file.contains("\n#BLOCK_TCP=\"1\"\n"))
    #expect(!file.contains("USE_RESOLV") && !file.contains("stray"))
    // 2.x took the last one.
    #expect(settings(migrate("TCP_PORTS=\"1-2\"\nTCP_PORTS=\"3-4\"\n").file).contains("TCP_PORTS=\"3-4\""))
  }

  @Test func `A file of 2.x stays one`() {
    let (migration, file) = migrate(
      "TCP_PORTS=\"1-9\"\nIGNORE_FILE=\"/i\"\nBLOCK_TCP=\"1\"\nKILL_ROUTE=\"/sbin/iptables -I INPUT -s $TARGET$ -j DROP\"\n"
    )
    #expect(migration.dialect == .modern)
    let (new, problems) = Configuration.parse(Array(file.utf8), path: "new")
    #expect(new.dialect == .modern && problems.isEmpty && new.historyFormat == [.modern])
    #expect(new.response.methods == [.nftables] && new.response.proof == .handshake)
  }

  @Test func `Bytes that are no UTF-8 are passed on`() {
    let bytes =
      Array("ADVANCED_PORTS_TCP=\"1024\"\nPORT_BANNER=\"Zugriff verweigert: gr".utf8) + [0xfc] + Array("n\"\n".utf8)
    let file = Migration(bytes, path: "old").file(from: "old").preservedBytes
    #expect(file.contains(0xfc))
    #expect(Configuration.parse(file, path: "new").0.portBanner == Configuration.parse(bytes, path: "old").0.portBanner)
  }

  /// What may be another thing in the native form: how a source is shut out, and whose words the log has.
  private func watched(_ configuration: Configuration) -> Configuration {
    var configuration = configuration
    configuration.logFormat = nil
    var response = ResponsePolicy.Settings()
    (response.tcp, response.udp) = (configuration.response.tcp, configuration.response.udp)
    response.killRunCommand = configuration.response.killRunCommand
    response.runCommandFirst = configuration.response.runCommandFirst
    configuration.response = response
    return configuration
  }

  @Test(arguments: RealFiles.names(suffix: ".conf"))
  func `Real files: the native form watches, ignores and writes the same`(_ name: String) throws {
    let bytes = try RealFiles.bytes(name)
    let migration = Migration(bytes, path: name)
    let file = migration.file(from: name).preservedBytes
    let (old, before) = Configuration.parse(bytes, path: name)
    let (new, after) = Configuration.parse(file, path: "new")
    #expect(watched(new) == watched(old))
    #expect(!after.contains { $0.severity == .error }, "\(after)")
    #expect(after.count <= before.count, "\(after)")
    // Once more changes nothing but the comments.
    let again = Migration(file, path: "new").file(from: name)
    #expect(settings(again) == settings(migration.file(from: name)))
  }
}
