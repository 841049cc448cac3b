@testable internal import NatterServer
internal import NatterProtocol
internal import ServerSupport
internal import Testing
internal import TestSupport

@Suite("the OpenAPI description")
struct DescriptionTests {
    private static func description() throws -> JSONValue {
        let path = "\(Programs.packageRoot)/man/natter.openapi.json"
        return try WireJSON.decode(JSONValue.self, from: Files.bytes(path) ?? [])
    }

    /// `METHOD /path`.
    private static func described() throws -> Set<String> {
        let description = try description()
        guard case .object(let paths)? = description["paths"] else { throw Failure("the description has no paths") }
        let methods: Set = ["get", "post", "put", "patch", "delete"]
        var found: Set<String> = []
        for (path, operations) in paths {
            guard case .object(let operations) = operations else { continue }
            for method in operations.keys where methods.contains(method) {
                found.insert("\(method.uppercased()) \(path)")
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
        let description = try DescriptionTests.description()
        let code = description["components"]?["schemas"]?["Error"]?["properties"]?["error"]?["properties"]?["code"]
        #expect(Set((code?["enum"]?.items ?? []).compactMap(\.text)) == Set(ErrorCode.allCases.map(\.rawValue)))
    }
}
