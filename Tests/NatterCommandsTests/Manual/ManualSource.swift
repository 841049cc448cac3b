import NatterCommandLine
import NatterCommands
import NatterDaemon
import TestSupport

/// The mdoc source of a page of the manual: a file of man/, or rendered from a command and its prose.
struct ManualSource {
    private static let directory = "\(Programs.packageRoot)/man"

    /// Such as `natter-log.1`.
    let name: String
    let text: String
    private let lines: [Substring]

    init(_ name: String) throws {
        self.name = name
        func contents(_ name: String) throws -> String {
            guard let text = Files.text("\(ManualSource.directory)/\(name)") else {
                throw Failure("there is no '\(name)'")
            }
            return text
        }
        if name == "natterd.8" {
            text = try ManualPage(DaemonProgram.spec, prose: contents("natterd.mdoc")).text
        } else if name.hasSuffix(".1") {
            let page = name.dropLast(2)
            let words = page == "natter" ? [] : [String(page.dropFirst("natter-".count))]
            text = try ManualPage(
                NatterProgram.spec, command: NatterProgram.spec.command(at: words)?.command,
                prose: contents("\(page).mdoc")
            ).text
        } else {
            text = try contents(name)
        }
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// The names of all pages.
    static func names() throws -> [String] {
        Files.below(directory).map { String($0.dropFirst(directory.count + 1)) }
            .filter { !$0.isEmpty && !$0.contains("/") }
            .map { $0 == "natterd.mdoc" ? "natterd.8" : $0.hasSuffix(".mdoc") ? $0.dropLast("mdoc".count) + "1" : $0 }
            .sorted()
    }

    /// The lines of a section; empty if there is none.
    func section(_ heading: String) -> [Substring] {
        let start = lines.firstIndex { $0 == ".Sh \(heading)" }.map { $0 + 1 } ?? lines.endIndex
        let rest = lines[start...]
        return Array(rest.prefix { !$0.hasPrefix(".Sh ") })
    }

    /// The description in the NAME section.
    var summary: String? {
        section("NAME").first { $0.hasPrefix(".Nd ") }.map { String($0.dropFirst(4)) }
    }

    /// The options that it describes, `--number` and `-n`, in each of their spellings. Words about options in a text do
    /// not count.
    var options: Set<String> {
        var found: Set<String> = []
        for line in section("OPTIONS") where line.hasPrefix(".It ") {
            var words = line.split(separator: " ").dropFirst()
            while let word = words.popFirst() {
                guard word == "Fl", let flag = words.popFirst() else { continue }
                found.insert("-" + flag)
            }
        }
        return found
    }

    /// The pages that it refers to, as `natter-log(1)`.
    var references: Set<String> {
        var found: Set<String> = []
        for line in lines {
            let words = line.split(separator: " ")
            guard let macro = words.firstIndex(of: line.hasPrefix(".It ") ? "Xr" : ".Xr"), words.count > macro + 2
            else { continue }
            found.insert("\(words[macro + 1])(\(words[macro + 2].prefix { $0.isNumber }))")
        }
        return found
    }
}
