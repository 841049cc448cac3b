internal import NatterModel
public import NatterStore
public import NatterWire

extension AdminUserObject {
    public init(_ view: AccountView) {
        self.init(
            name: view.name, admin: view.isAdmin, disabled: view.isDisabled, online: view.isOnline,
            created: view.created.rfc3339, lastSeen: view.lastSeen?.rfc3339, address: view.lastAddress)
    }
}
