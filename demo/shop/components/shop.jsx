/** What is around every page. */
export function Shop({ navigation, children }) {
  return (
    <>
      <header>
        <a href="/">The demo shop</a>
        <nav>
          {navigation.map((link) => (
            <a key={link.href} href={link.href}>
              {link.name}
            </a>
          ))}
        </nav>
      </header>
      {children}
      <footer>Everything here is made up.</footer>
    </>
  );
}
