internal import Glibc
@testable internal import NatterServer
internal import NatterWire
internal import Testing

@Suite("the OpenAPI description")
struct DescriptionTests {
    private static let path = "man/natter.openapi.json"

    /// `METHOD /path`, with `*` for what the path leaves open.
    private static func described() throws -> Set<String> {
        let description = try WireJSON.decode(JSONValue.self, from: try SourceFile.bytes(path))
        guard case .object(let paths)? = description["paths"] else { throw Failure(what: "'\(path)' has no paths") }
        let methods: Set = ["get", "post", "put", "patch", "delete"]
        var found: Set<String> = []
        for (path, operations) in paths {
            guard case .object(let operations) = operations else { continue }
            let pattern = path.split(separator: "/").map { $0.hasPrefix("{") ? "*" : String($0) }
            for method in operations.keys where methods.contains(method) {
                found.insert("\(method.uppercased()) /\(pattern.joined(separator: "/"))")
            }
        }
        return found
    }

    @Test("it has each request that the server answers, and no other")
    func routes() throws {
        let served = Set(ChatServer.routes.map { "\($0.method) /\($0.path.joined(separator: "/"))" })
        #expect(try DescriptionTests.described() == served)
    }

    @Test("it has each code of an error, and no other")
    func errorCodes() throws {
        let description = try WireJSON.decode(JSONValue.self, from: try SourceFile.bytes(DescriptionTests.path))
        let code = description["components"]?["schemas"]?["Error"]?["properties"]?["error"]?["properties"]?["code"]
        #expect(Set((code?["enum"]?.items ?? []).compactMap(\.text)) == Set(ErrorCode.allCases.map(\.rawValue)))
    }
}

/// Files of the source, found from this one.
private enum SourceFile {
    static func bytes(_ path: String) throws -> [UInt8] {
        let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        guard let file = fopen(root + "/" + path, "r") else { throw Failure(what: "'\(path)' can't be opened") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = fread(&piece, 1, piece.count, file)
            guard count > 0 else { return bytes }
            bytes += piece[..<count]
        }
    }
}
