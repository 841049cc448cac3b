internal import Foundation
internal import Testing
internal import TestSupport

/// `Tests/Interface.txt` and `Tests/Complaints.txt` name the tests behind each statement.
@Suite("tables of what is tested")
struct TableTests {
    private static let tests = "\(Programs.packageRoot)/Tests"

    /// The statements of a table, and the tests that it names.
    private func read(_ name: String) throws -> (statements: [Substring], tests: Set<String>) {
        let lines = try #require(Files.text("\(TableTests.tests)/\(name)")).split(separator: "\n")
            .filter { !$0.hasPrefix("#") }
        let below = lines.filter { $0.hasPrefix(" ") && !$0.hasPrefix("    because ") }
        return (lines.filter { !$0.hasPrefix(" ") }, Set(below.flatMap { $0.split(separator: " ").map(String.init) }))
    }

    /// The tests of this checkout: `SuiteTests.function` of the programs' tests, `Target/SuiteTests` of all.
    private func existing() throws -> Set<String> {
        var found: Set<String> = []
        for path in Files.below(TableTests.tests) where path.hasSuffix("Tests.swift") {
            let parts = path.dropFirst(TableTests.tests.count).split(separator: "/")
            let (target, suite) = (parts.first ?? "", (parts.last ?? "").dropLast(".swift".count))
            let text = try #require(Files.text(path))
            for match in text.matches(of: /\nstruct (\w+Tests)\b/) { found.insert("\(target)/\(match.1)") }
            guard target == "ProgramTests" else { continue }
            for match in text.matches(of: /\n    func (\w+)\(/) { found.insert("\(suite).\(match.1)") }
        }
        return found
    }

    @Test("each statement of the interface has tests, which exist")
    func interface() throws {
        let (statements, tests) = try read("Interface.txt")
        #expect(statements.count > 100)
        #expect(try tests.subtracting(existing()).isEmpty)
    }

    @Test("each heading of clig.dev has tests, which exist, or a reason")
    func guidelines() throws {
        let text = try #require(Files.text("\(Programs.packageRoot)/docs/clig.md"))
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| ") && !$0.hasPrefix("| heading") }
        #expect(rows.count == 25)
        let existing = try existing()
        for row in rows {
            let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            #expect(cells.count == 3 && !cells[2].isEmpty, "\(row)")
            for match in (cells.last ?? "").matches(of: /`([A-Za-z\/]+Tests(?:\.\w+)?)`/) {
                #expect(existing.contains(String(match.1)), "\(match.1)")
            }
        }
    }

    @Test("each complaint has an answer, by tests that exist")
    func complaints() throws {
        let (statements, tests) = try read("Complaints.txt")
        #expect(statements.count == 22)
        #expect(try tests.subtracting(existing()).isEmpty)
    }
}
