setInterval(async () => {
  if (document.hidden) return;
  const main = document.querySelector("main");
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    main.replaceChildren(...page.querySelector("main").childNodes);
    main.className = "";
  } catch {
    main.className = "stale";
  }
}, 2000);
