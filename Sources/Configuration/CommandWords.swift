import Wire

/// The words of a command line before the parser sees them: options that say where the settings are may stand before the
/// subcommand, and a word that is no subcommand gets a hint.
package enum CommandWords {
  /// Options with a value that every subcommand but `help` takes.
  private static let options = ["--configfile", "--config", "--control-socket"]

  /// Moves such options from before a subcommand to the end, where the parser expects them.
  ///
  /// - Parameter subcommands: the names of all subcommands.
  /// - Returns: the words unchanged where no subcommand follows.
  package static func arrange(_ words: [String], subcommands: [String]) -> [String] {
    let count = leading(words)
    guard count > 0, count < words.count, words[count] != "help",
      subcommands.contains(where: words[count].isSameBytes(as:))
    else { return words }
    var rest = Array(words[count...])
    // After `--` there are only arguments.
    let end = rest.firstIndex { $0.isSameBytes(as: "--") } ?? rest.endIndex
    rest.insert(contentsOf: words[..<count], at: end)
    return rest
  }

  /// What is wrong with the first word, in one sentence; nil where it is an option or a subcommand, or there is none.
  package static func fault(_ words: [String], subcommands: [String]) -> String? {
    let count = leading(words)
    guard count < words.count, let first = words[count].utf8.first, first != UInt8(ascii: "-"),
      !subcommands.contains(where: words[count].isSameBytes(as:))
    else { return nil }
    let hint = nearestName(to: words[count], among: subcommands).map { "; did you mean '\($0)'?" } ?? ""
    return "Unknown subcommand \(quoted(words[count], limit: 60))\(hint)"
  }

  /// How many of the first words are such options and their values.
  private static func leading(_ words: [String]) -> Int {
    var index = 0
    while index < words.count {
      let word = words[index]
      if word.isSameBytes(as: "-c") || options.contains(where: word.isSameBytes(as:)) {
        index += 2
      } else if word.startsWithBytes("-c") || options.contains(where: { word.startsWithBytes("\($0)=") }) {
        index += 1
      } else {
        break
      }
    }
    return min(index, words.count)
  }
}
