import Foundation
import Testing
import TestSupport

@testable import Database

@Suite struct DatabaseTests {
  @Test func `Values come back as they went in`() throws {
    try inFolder { folder in
      let database = try Database(folder + "/a.db", .readWrite)
      try database.execute("CREATE TABLE t(a, b, c)")
      let text = "quote ' \" ; -- \0 inside, é \u{202e}"
      let blob: [UInt8] = [0, 255, 39, 0]
      try database.run("INSERT INTO t VALUES(?1, ?2, ?3)", .text(text), .blob(blob), .int(.min))
      try database.run("INSERT INTO t VALUES(?1, ?2, ?3)", .null, .blob([]), .text(""))
      let rows = try database.rows("SELECT a, b, c FROM t") {
        ($0.text(0), $0.blob(1), $0.int(2), $0.isNull(0), $0.isNull(1))
      }
      #expect(rows[0].0 == text && rows[0].1 == blob && rows[0].2 == .min)
      #expect(rows[1].3 && !rows[1].4 && rows[1].1 == [])
    }
  }

  @Test func `A transaction is done as a whole or not at all`() throws {
    try inFolder { folder in
      let database = try Database(folder + "/a.db", .readWrite)
      try database.execute("CREATE TABLE t(a UNIQUE)")
      #expect(throws: DatabaseError.self) {
        try database.transaction { () throws(DatabaseError) in
          try database.run("INSERT INTO t VALUES(?1)", 1)
          try database.run("INSERT INTO t VALUES(?1)", 1)
        }
      }
      #expect(try database.number("SELECT count(*) FROM t") == 0)
      try database.transaction { () throws(DatabaseError) in try database.run("INSERT INTO t VALUES(?1)", 1) }
      #expect(try database.number("SELECT count(*) FROM t") == 1)
    }
  }

  @Test func `Who only reads cannot write`() throws {
    try inFolder { folder in
      let path = folder + "/a.db"
      do { try Database(path, .readWrite).execute("CREATE TABLE t(a)") }
      let error = #expect(throws: DatabaseError.self) {
        try Database(path, .readOnly).run("INSERT INTO t VALUES(?1)", 1)
      }
      #expect(error?.kind == .readOnly)
    }
  }

  @Test func `Statements are made of literals and of each other`() {
    let columns: SQL = "a, b"
    let whole: SQL = "SELECT \(columns) FROM t"
    #expect(whole.text == "SELECT a, b FROM t")
    #expect(whole == "SELECT a, b FROM t")
  }

  @Test(
    arguments: [
      (11, "damaged"), (26, "damaged"), (522, "damaged"), (13, "full"), (8, "readOnly"), (14, "cannotOpen"),
      (5, "busy"), (10, "io"), (1, "other"),
    ] as [(Int32, String)])
  func `Kinds of failure`(_ code: Int32, _ kind: String) {
    #expect("\(DatabaseError(code: code, message: "", subject: "").kind)" == kind)
  }
}
