/// Services that one program of an honest user looks for together: a mail program that sets up an account tries all ports of mail,
/// whoever adds a printer those of printing, and who follows a link without a port the usual ones of the web.
enum ServiceFamily: CaseIterable {
  case mail
  case print
  case web

  var bit: ServiceFamilies {
    switch self {
    case .mail: .mail
    case .print: .print
    case .web: .web
    }
  }

  /// The services that make somebody a user of the family.
  var services: [UInt16] {
    switch self {
    case .mail: Self.mailPorts
    case .print: Self.printPorts
    case .web: Self.webPorts
    }
  }

  /// SMTP, POP3, IMAP, submission, their TLS, a second submission port, ManageSieve.
  private static let mailPorts: [UInt16] = [25, 110, 143, 465, 587, 993, 995, 2525, 4190]
  /// LPD, IPP, and the raw ports of one device with three of them.
  private static let printPorts: [UInt16] = [515, 631, 9100, 9101, 9102]
  private static let webPorts: [UInt16] = [80, 443, 8000, 8008, 8080, 8081, 8443, 8888]

  /// The family of a service.
  static func of(_ port: UInt16) -> ServiceFamily? {
    switch port {
    case 25, 110, 143, 465, 587, 993, 995, 2525, 4190: .mail
    case 515, 631, 9100, 9101, 9102: .print
    case 80, 443, 8000, 8008, 8080, 8081, 8443, 8888: .web
    default: nil
    }
  }

  /// Ports at which a server looks for an open proxy, or the user's name, on whoever has come to it: chats and mail do.
  static func isAskedBack(_ port: UInt16) -> Bool {
    switch port {
    case 23, 80, 81, 113, 1080, 3128, 4480, 6588, 8000, 8001, 8080, 8081: true
    default: false
    }
  }

  /// Whether users of the family ask for a port: settings of mail accounts and pages of printers are found on the web, and printers are
  /// shared by SMB.
  func isNear(_ port: UInt16) -> Bool {
    switch (self, port) {
    case (.mail, 80), (.mail, 443), (.print, 80), (.print, 443), (.print, 139), (.print, 445): true
    default: Self.of(port) == self
    }
  }
}

/// Families of services.
package struct ServiceFamilies: OptionSet, Hashable, Sendable, BitwiseCopyable {
  package let rawValue: UInt8

  package init(rawValue: UInt8) { self.rawValue = rawValue }

  package static let mail = ServiceFamilies(rawValue: 1)
  package static let print = ServiceFamilies(rawValue: 2)
  package static let web = ServiceFamilies(rawValue: 4)

  /// Those whose users ask for a port.
  package init(near port: UInt16) {
    self = []
    for family in ServiceFamily.allCases where family.isNear(port) { insert(family.bit) }
  }
}
