import CLinux
import Response
import TestSupport
import Testing
import Wire

@Suite("hosts.deny")
struct HostsDenyTests {
  private func mode(_ path: String) -> String { shell("stat -c '%a %u:%g %F' '\(path)'").output.filter { $0 != "\n" } }

  @Test(
    "the line for a target",
    arguments: [
      ("ALL: $TARGET$ : DENY", "192.0.2.9", "ALL: 192.0.2.9 : DENY"),
      ("ALL: $TARGET$", "fd77::1", "ALL: [fd77::1]"),
      ("ALL: [$TARGET$]", "fd77::1", "ALL: [fd77::1]"),
      ("ALL: [$TARGET$]", "192.0.2.9", "ALL: 192.0.2.9"),
      ("ALL: $TARGET$", "198.51.100.0/24", "ALL: 198.51.100.0/255.255.255.0"),
      ("ALL: $TARGET$", "fd77::/64", "ALL: [fd77::]/64"),
      ("ALL: $TARGET$ $TARGET$ # $PORT$ $MODE$ $OTHER$", "192.0.2.9", "ALL: 192.0.2.9 192.0.2.9 # 11 stcp $OTHER$"),
    ])
  func line(_ template: String, _ target: String, _ expected: String) {
    #expect(HostsDeny.line(template, target: network(target), port: 11, mode: "stcp") == expected)
  }

  @Test(
    "adding a line to what is there",
    arguments: [
      ("creates a missing file", nil, "x\n"),
      ("begins an empty file", "", "x\n"),
      ("goes after the last line", "# c\nALL: y\n", "# c\nALL: y\nx\n"),
      ("does not glue onto a last line without its newline", "# c", "# c\nx\n"),
      ("does not go on a line that goes on", "ALL: y, \\\n", "ALL: y, \\\n\nx\n"),
      ("nor one that goes on without its newline", "ALL: y, \\", "ALL: y, \\\n\nx\n"),
      ("leaves a whole-line duplicate alone", "a\nx\nb\n", "a\nx\nb\n"),
      ("leaves a duplicate at the end without newline alone", "a\nx", "a\nx"),
      ("takes a line that only contains it for another", "xx\n x\nx \n", "xx\n x\nx \nx\n"),
    ] as [(String, String?, String)])
  func adds(_ name: String, _ before: String?, _ after: String) throws {
    try inFolder { folder in
      let path = folder + "/hosts.deny"
      if let before { try write(before, to: path) }
      let file = HostsDeny(path: path)
      try file.add("x")
      #expect(text(of: path) == after, "\(name)")
      #expect(try file.contains("x"))
      try file.add("x")
      #expect(text(of: path) == after, "\(name), again")
    }
  }

  @Test(
    "removing a line",
    arguments: [
      ("a missing file stays missing", nil, nil), ("nothing to remove", "a\nxx\n", "a\nxx\n"),
      ("every copy goes", "x\na\nx\nb\nx", "a\nb\n"), ("the only line", "x\n", ""),
      ("the last line without newline", "a\nx", "a\n"),
    ] as [(String, String?, String?)])
  func removes(_ name: String, _ before: String?, _ after: String?) throws {
    try inFolder { folder in
      let path = folder + "/hosts.deny"
      if let before { try write(before, to: path) }
      try HostsDeny(path: path).remove("x")
      #expect(text(of: path) == after, "\(name)")
      #expect(shell("ls -A \(folder) | grep -v '^hosts.deny$'").output.isEmpty, "nothing is left behind")
    }
  }

  @Test("a new file is 0644 whatever our umask; mode, owner and link of an old one stay")
  func keepsAttributes() throws {
    try inFolder { folder in
      let old = umask(0o077)
      defer { umask(old) }
      let fresh = folder + "/fresh"
      try HostsDeny(path: fresh).add("x")
      #expect(mode(fresh).hasPrefix("644 "))

      let path = folder + "/real"
      shell("echo a > \(path); chmod 640 \(path); chown 65534:12 \(path); ln -s real \(folder)/link")
      let before = mode(path)
      let file = HostsDeny(path: folder + "/link")
      try file.add("x")
      try file.add("y")
      try file.remove("x")
      #expect(text(of: path) == "a\ny\n")
      #expect(mode(path) == before)
      #expect(mode(folder + "/link").hasSuffix("symbolic link"))
    }
  }

  @Test("a bind-mounted file is rewritten in place", .enabled(if: geteuid() == 0, "SKIPPED: needs root, to mount"))
  func bindMount() throws {
    try inFolder { folder in
      let path = folder + "/hosts.deny"
      shell("printf 'a\\nx\\nb\\n' > \(folder)/elsewhere; touch \(path); mount --bind \(folder)/elsewhere \(path)")
      defer { shell("umount \(path)") }
      let file = HostsDeny(path: path)
      try file.add("y")
      try file.remove("x")
      #expect(text(of: folder + "/elsewhere") == "a\nb\ny\n")
      shell("mount -o remount,ro,bind \(path)")
      #expect(throws: ResponderError.readOnly(path: path)) { try file.add("z") }
      #expect(throws: ResponderError.readOnly(path: path)) { try file.remove("a") }
      try file.add("y")
    }
  }

  @Test("a file that anybody may write is refused, and so is what is no file")
  func refuses() throws {
    try inFolder { folder in
      let path = folder + "/hosts.deny"
      shell("echo x > \(path); chmod 666 \(path)")
      #expect(throws: ResponderError.worldWritable(path: path)) { try HostsDeny(path: path).add("y") }
      #expect(throws: ResponderError.worldWritable(path: path)) { try HostsDeny(path: path).remove("x") }
      #expect(text(of: path) == "x\n")
      #expect(throws: ResponderError.self) { try HostsDeny(path: folder).add("y") }
      #expect(throws: ResponderError.self) { try HostsDeny(path: folder + "/none/hosts.deny").add("y") }
    }
  }

  @Test("a line that is none is refused", arguments: ["", "a\nb", "a\r", "a\\", String(repeating: "a", count: 2_047)])
  func refusesLine(_ line: String) throws {
    try inFolder { folder in
      #expect(throws: ResponderError.self) { try HostsDeny(path: folder + "/hosts.deny").add(line) }
      #expect(text(of: folder + "/hosts.deny") == nil)
    }
  }

  @Test(
    "the TCP wrappers deny whom we name and nobody else",
    .enabled(if: shell("command -v tcpdmatch").status == 0, "SKIPPED: needs tcpdmatch of the package tcpd"))
  func realWrappers() throws {
    try inFolder { folder in
      let file = HostsDeny(path: folder + "/hosts.deny")
      for target in ["192.0.2.9", "fd77::1", "198.51.100.0/24", "fd78::/64"] {
        try file.add(HostsDeny.line("ALL: $TARGET$ : DENY", target: network(target)))
      }
      shell("touch \(folder)/hosts.allow")
      let rows = [
        ("192.0.2.9", true), ("192.0.2.90", false), ("fd77::1", true), ("fd77::2", false), ("198.51.100.7", true),
        ("198.51.101.7", false), ("fd78::7", true), ("fd78:0:0:1::7", false),
      ]
      for (address, denied) in rows {
        let answer = shell("cd \(folder) && tcpdmatch -d sshd \(address)").output
        #expect(answer.contains("access:   denied") == denied, "\(address): \(answer)")
        #expect(answer.contains("access:   granted") != denied, "\(address): \(answer)")
      }
    }
  }
}
