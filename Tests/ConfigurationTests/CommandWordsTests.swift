import Configuration
import Testing

@Suite struct CommandWordsTests {
  private static let names = ["run", "check", "status", "sources", "blocked", "unblock", "journal", "help"]

  @Test(arguments: [
    (["status"], ["status"]),
    (["-c", "/a", "status"], ["status", "-c", "/a"]),
    (["-c/a", "status", "--json"], ["status", "--json", "-c/a"]),
    (["--config", "/a", "journal", "check"], ["journal", "check", "--config", "/a"]),
    (["--config=/a", "--control-socket", "/s", "status"], ["status", "--config=/a", "--control-socket", "/s"]),
    (["--configfile", "status", "status"], ["status", "--configfile", "status"]),
    (["-c", "/a", "replay", "--", "-c"], ["-c", "/a", "replay", "--", "-c"]),
    (["-c", "/a", "check", "--", "x"], ["check", "-c", "/a", "--", "x"]),
    // 1.2's and 2.x's calls have no subcommand.
    (["-c", "/a", "-stcp"], ["-c", "/a", "-stcp"]),
    (["-c"], ["-c"]), (["-c", "/a"], ["-c", "/a"]), ([], []),
    (["-c", "/a", "help"], ["-c", "/a", "help"]),
    (["--connect", "status"], ["--connect", "status"]),
  ])
  func `Options before the subcommand are moved behind it`(_ words: [String], _ expected: [String]) {
    #expect(CommandWords.arrange(words, subcommands: Self.names) == expected)
  }

  @Test(arguments: [
    (["statsu"], "Unknown subcommand 'statsu'; did you mean 'status'?"),
    (["Source"], "Unknown subcommand 'Source'; did you mean 'sources'?"),
    (["-c", "/a", "unblok"], "Unknown subcommand 'unblok'; did you mean 'unblock'?"),
    (["frobnicate"], "Unknown subcommand 'frobnicate'"),
    (["\u{1b}[2J"], "Unknown subcommand '\\u{1b}[2J'"),
  ])
  func `A word that is no subcommand gets a hint`(_ words: [String], _ expected: String) {
    #expect(CommandWords.fault(words, subcommands: Self.names) == expected)
  }

  @Test(arguments: [["status"], ["-x"], ["-c", "/a"], [], [""], ["-stcp"], ["--help"]])
  func `What is no faulty subcommand has none`(_ words: [String]) {
    #expect(CommandWords.fault(words, subcommands: Self.names) == nil)
  }
}
