import CLinux

/// A failed system call: which one, on what, and the kernel's reason.
package struct Errno: Error, Equatable, Sendable, CustomStringConvertible {
  /// The `errno` number, e.g. `ENOENT`.
  package let code: Int32
  /// The call, e.g. `open`, or what was attempted in words.
  package let call: String
  /// The file, interface or address the call was about; may be empty.
  package let subject: String

  package init(_ code: Int32, _ call: String, _ subject: String = "") {
    self.code = code
    self.call = call
    self.subject = subject
  }

  /// The error of the call that has just failed on this thread.
  package static func last(_ call: String, _ subject: String = "") -> Errno { Errno(CLinux_errno(), call, subject) }

  /// The kernel's words for the code, e.g. `No such file or directory`.
  package var reason: String { unsafe String(cString: strerror(code)) }

  package var description: String { subject.isEmpty ? "\(call): \(reason)" : "\(call) \(subject): \(reason)" }
}

/// Runs a system call until it is not interrupted; -1 becomes a typed error.
@discardableResult
package func check<Value: FixedWidthInteger & SignedInteger>(
  _ call: @autoclosure () -> String, _ subject: @autoclosure () -> String = "", _ body: () -> Value
) throws(Errno) -> Value {
  while true {
    let result = body()
    if result != -1 { return result }
    let code = CLinux_errno()
    if code != EINTR { throw Errno(code, call(), subject()) }
  }
}
