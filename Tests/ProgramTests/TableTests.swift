internal import Foundation
internal import Testing
internal import TestSupport

@Suite("the table of what is tested")
struct TableTests {
    private static let tests = "\(Programs.packageRoot)/Tests"

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
        let lines = try #require(Files.text("\(TableTests.tests)/Interface.txt")).split(separator: "\n")
            .filter { !$0.hasPrefix("#") }
        #expect(lines.count { !$0.hasPrefix(" ") } > 100)
        // Each statement is followed by its tests.
        let tested = zip(lines, lines.dropFirst() + [""]).allSatisfy { $0.hasPrefix(" ") || $1.hasPrefix(" ") }
        #expect(tested)
        let named = Set(lines.filter { $0.hasPrefix(" ") }.flatMap { $0.split(separator: " ").map(String.init) })
        #expect(try named.subtracting(existing()).isEmpty)
    }
}
