import Notify
import Testing
import Wire

@Suite struct NotifyTargetTests {
  @Test(arguments: [
    ("command /usr/local/bin/tell -x  me", NotifyTarget.command(["/usr/local/bin/tell", "-x", "me"])),
    ("mail root", .mail(["root"])),
    ("mail root admin@example.org", .mail(["root", "admin@example.org"])),
    ("ntfy https://ntfy.sh/topic", .ntfy(.text("https://ntfy.sh/topic"), token: nil)),
    ("ntfy https://ntfy.sh/topic /etc/t", .ntfy(.text("https://ntfy.sh/topic"), token: .file("/etc/t"))),
    ("ntfy /etc/u tk_x", .ntfy(.file("/etc/u"), token: .text("tk_x"))),
    ("slack /etc/slack.url", .slack(.file("/etc/slack.url"))),
    ("discord https://discord.com/api/webhooks/1/x", .discord(.text("https://discord.com/api/webhooks/1/x"))),
    ("webhook http://127.0.0.1:8080/", .webhook(.text("http://127.0.0.1:8080/"), token: nil)),
    (
      "matrix https://m.example/ !r:m.example /etc/m",
      .matrix(server: "https://m.example", room: "!r:m.example", token: .file("/etc/m"))
    ),
    ("telegram -100123 /etc/tg", .telegram(chat: "-100123", token: .file("/etc/tg"))),
  ])
  func `A target is its kind and its words`(_ text: String, _ expected: NotifyTarget) throws {
    #expect(try NotifyTarget(text) == expected)
  }

  @Test(arguments: [
    "", "ntfy", "nfty https://x.example/", "command", "command tell", "mail", "mail -oQ/tmp", "mail a\u{e9}b",
    "mail a,b",
    "slack ftp://x.example/", "slack https://", "slack https:///x", "slack https://x.example/ y",
    "slack file:///etc/shadow",
    "discord https://x.example/\u{e9}", "webhook https://x.example/ t u", "matrix https://m.example r /etc/m",
    "matrix m.example !r /etc/m", "telegram 1", "telegram 1 2 3",
  ])
  func `What is no target is refused without its secret`(_ text: String) {
    let fault = #expect(throws: NotifyTarget.Fault.self) { try NotifyTarget(text) }
    #expect(fault?.text.containsBytes("x.example/") == false)
  }

  @Test(arguments: [
    ("ntfy http://ntfy.example/t", true), ("ntfy http://127.0.0.1/t", false), ("ntfy http://localhost:80/t", false),
    ("webhook http://[::1]:8080/", false), ("webhook https://x.example/", false), ("slack /etc/u", false),
    ("matrix http://m.example !r:m /etc/m", true), ("mail root", false),
  ])
  func `What crosses the network in the clear is known`(_ text: String, _ expected: Bool) throws {
    #expect(try NotifyTarget(text).isUnencrypted == expected)
  }
}
