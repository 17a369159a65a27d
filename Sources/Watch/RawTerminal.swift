import CLinux
import Platform

/// The terminal while the whole of it is ours: keys come at once and unseen, on the alternate screen, without a cursor. What it
/// was before comes back in `restore`, which has to be called on every way out.
struct RawTerminal {
  private let before: termios
  private let raw: termios

  /// - Throws: ENOTTY where input or output is no terminal.
  init() throws(Errno) {
    var settings = termios()
    try check("tcgetattr", "standard input") { unsafe tcgetattr(0, &settings) }
    guard isatty(1) == 1 else { throw Errno(ENOTTY, "open", "standard output") }
    before = settings
    unsafe CLinux_restore_terminal_on_crash(&settings)
    settings.c_lflag &= ~tcflag_t(ICANON | ECHO | IEXTEN)
    // Ctrl-C and Ctrl-Z stay signals: the terminal is put right in both.
    settings.c_iflag &= ~tcflag_t(IXON | ICRNL)
    raw = settings
    enter()
  }

  /// Keys raw, alternate screen, cursor off.
  func enter() {
    var settings = raw
    unsafe tcsetattr(0, TCSAFLUSH, &settings)
    Console.print("\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J", terminator: "")
  }

  /// Everything as it was.
  func restore() {
    Console.print("\u{1b}[0m\u{1b}[?25h\u{1b}[?1049l", terminator: "")
    var settings = before
    unsafe tcsetattr(0, TCSAFLUSH, &settings)
  }

  /// Columns and rows; 80 and 24 where the terminal does not say.
  static var size: (columns: Int, rows: Int) {
    var size = winsize()
    guard unsafe CLinux_window_size(1, &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return (80, 24) }
    return (Int(size.ws_col), Int(size.ws_row))
  }

  /// Writes a screenful. Each line clears what is left of it, so that nothing flickers.
  static func show(_ lines: [String]) {
    var text = "\u{1b}[H"
    for (index, line) in lines.enumerated() {
      text += line + "\u{1b}[0m\u{1b}[K"
      if index < lines.count - 1 { text += "\r\n" }
    }
    Console.print(text + "\u{1b}[J", terminator: "")
  }
}
