import Response
import Testing
import Wire

@Suite("Commands from templates")
struct CommandTemplateTests {
  @Test(
    "tokens are replaced wherever they stand, unknown ones stay",
    arguments: [
      ("/bin/x $TARGET$ $PORT$ $MODE$", "/bin/x 192.0.2.9 11 stcp"),
      ("$TARGET$$TARGET$,$PORT$/$MODE$.$PORT$", "192.0.2.9192.0.2.9,11/stcp.11"),
      ("$target$ $TARGET $HOST$ $$ TARGET$ $", "$target$ $TARGET $HOST$ $$ TARGET$ $"),
      ("no token", "no token"), ("", ""), ("$TARGET$TARGET$", "192.0.2.9TARGET$"),
    ])
  func substitutes(_ template: String, _ command: String) {
    #expect(CommandTemplate(template).command(target: network("192.0.2.9"), port: 11, mode: "stcp") == command)
  }

  @Test("nothing but letters comes in by the mode")
  func mode() {
    let command = CommandTemplate("x $MODE$").command(
      target: network("fd77::/64"), port: 65_535, mode: "a;rm -rf $(x)\n")
    #expect(command == "x armrfx")
    #expect(CommandTemplate("$TARGET$").command(target: network("fd77::/64"), port: 0, mode: "") == "fd77::/64")
  }

  @Test(
    "what takes a command back",
    arguments: [
      ("/sbin/route add -host $TARGET$ reject", "/sbin/route del -host $TARGET$ reject"),
      ("route add -host $TARGET$ gw 333.444.555.666", "route del -host $TARGET$ gw 333.444.555.666"),
      ("/usr/sbin/route -A inet6 add $TARGET$/128 reject", "/usr/sbin/route -A inet6 del $TARGET$/128 reject"),
      ("/sbin/iptables -I INPUT -s $TARGET$ -j DROP", "/sbin/iptables -D INPUT -s $TARGET$ -j DROP"),
      (
        "/usr/local/bin/iptables -I INPUT 1 -s $TARGET$ -j DROP -m limit",
        "/usr/local/bin/iptables -D INPUT -s $TARGET$ -j DROP -m limit"
      ),
      ("iptables -w -t raw -A PREROUTING -s $TARGET$ -j DROP", "iptables -w -t raw -D PREROUTING -s $TARGET$ -j DROP"),
      ("ip6tables --insert INPUT 3 -s $TARGET$ -j DROP", "ip6tables -D INPUT -s $TARGET$ -j DROP"),
      (
        "iptables -I INPUT -s $TARGET$ -j DROP && iptables -I FORWARD -s $TARGET$ -j LOG --log-prefix \"a b\"",
        "iptables -D FORWARD -s $TARGET$ -j LOG --log-prefix \"a b\"; iptables -D INPUT -s $TARGET$ -j DROP"
      ),
      (
        "iptables -I INPUT -s $TARGET$ -j DROP >/dev/null 2>&1", "iptables -D INPUT -s $TARGET$ -j DROP >/dev/null 2>&1"
      ),
      ("ip route add blackhole $TARGET$", "ip route del blackhole $TARGET$"),
      ("/sbin/ip -6 route replace unreachable $TARGET$/128", "/sbin/ip -6 route del unreachable $TARGET$/128"),
      ("ipset add scanners $TARGET$", "ipset del scanners $TARGET$"),
      ("/sbin/ipset -exist add scanners $TARGET$ timeout 3600", "/sbin/ipset del scanners $TARGET$"),
      ("ipset -A scanners $TARGET$", "ipset del scanners $TARGET$"),
      ("nft add element inet f bad { $TARGET$ }", "nft delete element inet f bad { $TARGET$ }"),
      (
        "nft add element inet f bad { $TARGET$ timeout 1h comment \"x\" }", "nft delete element inet f bad { $TARGET$ }"
      ),
      ("nft 'add element inet f bad { $TARGET$ timeout 1h }'", "nft 'delete element inet f bad { $TARGET$ }'"),
      ("nft add element inet f bad \\{ $TARGET$ timeout 1h \\}", "nft delete element inet f bad \\{ $TARGET$ \\}"),
      ("ufw insert 1 deny from $TARGET$", "ufw delete deny from $TARGET$"),
      ("/usr/sbin/ufw deny from $TARGET$ to any", "/usr/sbin/ufw delete deny from $TARGET$ to any"),
      ("ufw prepend reject from $TARGET$", "ufw delete reject from $TARGET$"),
      (
        "firewall-cmd --zone=drop --add-source=$TARGET$ --timeout=3600",
        "firewall-cmd --zone=drop --remove-source=$TARGET$"
      ),
      (
        "firewall-cmd --add-rich-rule='rule family=\"ipv4\" source address=\"$TARGET$\" drop'",
        "firewall-cmd --remove-rich-rule='rule family=\"ipv4\" source address=\"$TARGET$\" drop'"
      ),
      ("fail2ban-client set portsentry banip $TARGET$", "fail2ban-client set portsentry unbanip $TARGET$"),
      ("/bin/echo $TARGET$", nil), ("", nil), ("iptables -I INPUT -j DROP", nil),
      ("nft add rule inet f in ip saddr $TARGET$ drop", nil), ("iptables -F; iptables -I INPUT -s $TARGET$", nil),
      ("iptables -I INPUT -s $TARGET$ -j DROP && mail root", nil), ("iptables -I INPUT -s $(x $TARGET$)", nil),
      ("iptables -I INPUT -s $TARGET$ | cat", nil), ("iptables -I INPUT -s $TARGET$ &", nil),
      ("iptables -I INPUT -s $TARGET$ &&", nil), ("ip link add $TARGET$", nil), ("ufw allow from $TARGET$", nil),
    ] as [(String, String?)])
  func undoes(_ template: String, _ undo: String?) {
    #expect(CommandTemplate(template).undo?.text == undo)
  }

  @Test(
    "a command that cannot work for IPv6 is told from one that may",
    arguments: [
      ("iptables -I INPUT -s $TARGET$ -j DROP", "iptables cannot block an IPv6 address"),
      ("/sbin/iptables-nft -I INPUT -s $TARGET$ -j DROP", "iptables-nft cannot block"),
      ("true && iptables -I INPUT -s $TARGET$", "iptables cannot block"),
      ("true; iptables -I INPUT -s $TARGET$", "iptables cannot block"),
      ("/sbin/route add -host $TARGET$ reject", "route without -A inet6"),
      ("ip -4 route add blackhole $TARGET$", "ip -4"),
      ("nft add rule inet f in ip saddr $TARGET$ drop", "ip saddr matches IPv4 only"),
      ("firewall-cmd --add-rich-rule='rule family=\"ipv4\" source address=\"$TARGET$\" drop'", "family=ipv4"),
      ("ip6tables -I INPUT -s $TARGET$ -j DROP", nil), ("ip route add blackhole $TARGET$", nil),
      ("iptables -I INPUT -s $TARGET$ || ip6tables -I INPUT -s $TARGET$", nil), ("echo iptables $TARGET$", nil),
      ("route -A inet6 add $TARGET$ reject", nil), ("ufw deny from $TARGET$", nil), ("", nil),
      ("nft add rule inet f in ip6 saddr $TARGET$ drop", nil),
    ] as [(String, String?)])
  func ipv6(_ template: String, _ problem: String?) {
    let found = CommandTemplate.ipv6Problem(template)
    if let problem { #expect(found?.contains(problem) == true) } else { #expect(found == nil) }
  }

  @Test(
    "1.2's default is known",
    arguments: [
      ("/sbin/route add -host $TARGET$ reject", true), ("route add -host $TARGET$ reject", true),
      ("/usr/sbin/route  add  -host\t$TARGET$ reject ", true), ("route add -host $TARGET$ gw 1.2.3.4", false),
      ("route add -net $TARGET$ reject", false), ("./route add -host $TARGET$ reject", false),
      ("/sbin/route add -host $TARGET$ reject && x", false), ("/sbin/route add -host $TARGET$ reject; x", false),
      ("myroute add -host $TARGET$ reject", false), ("", false),
    ])
  func classicReject(_ template: String, _ expected: Bool) {
    #expect(CommandTemplate.isClassicReject(template) == expected)
  }
}
